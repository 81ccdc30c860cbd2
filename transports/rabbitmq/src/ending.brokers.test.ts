import assert from "node:assert/strict";
import { test } from "node:test";
import { type Logger, systemEnvironment } from "@waybill/core";
import { TcpFaultProxy } from "@waybill/testkit";
import { type Channel, type ChannelModel, connect } from "amqplib";
import { until } from "./corner.test.support.ts";
import { ended, whileOpen } from "./ending.ts";
import { KeptChannel, plainChannel } from "./kept-channel.ts";
import { Link, type LinkParts } from "./link.ts";
import { settingsOf } from "./options.ts";
import { port } from "./subject.test.support.ts";

const environment = systemEnvironment;
const ignore = (): void => undefined;
const logger: Logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** A connection over a line of its own, which the test may break. */
async function lined(): Promise<{
  readonly proxy: TcpFaultProxy;
  readonly model: ChannelModel;
  readonly end: AsyncDisposableStack;
}> {
  const end = new AsyncDisposableStack();
  const proxy = end.use(await TcpFaultProxy.listen({ port }));
  const model = await connect(`amqp://127.0.0.1:${proxy.port}`);
  model.on("error", ignore);
  end.defer(() => ended(model));
  return { proxy, model, end };
}

function linkTo(proxy: TcpFaultProxy, restore: LinkParts["restore"] = async () => undefined): Link {
  const settings = settingsOf({ url: `amqp://127.0.0.1:${proxy.port}` });
  return new Link({ settings, environment, logger, name: "test", restore });
}

test("a channel and a connection whose line breaks while they say farewell are over", async () => {
  const { proxy, model, end } = await lined();
  await using _end = end;
  const channel = await model.createChannel();
  proxy.freeze(["toClient"]);
  const over = [ended(channel), ended(model)];
  proxy.reset();
  await Promise.all(over);
  // What is over already does not have to be ended first.
  await Promise.all([ended(channel), ended(model)]);
});

test("what is waited for on a channel ends with it, with why", async () => {
  const { proxy, model, end } = await lined();
  await using _end = end;
  const never = new Promise<never>(ignore);
  const refused = await model.createChannel();
  const cause = assert.rejects(whileOpen(refused, never), { code: 404 });
  await assert.rejects(refused.checkQueue(`test-none-${environment.id()}`));
  await cause;
  const channel = await model.createChannel();
  assert.equal(await whileOpen(channel, Promise.resolve("answered")), "answered");
  const over = assert.rejects(whileOpen(channel, never), /the channel ended/);
  assert.equal(channel.listenerCount("error"), 1);
  proxy.reset();
  await over;
  assert.equal(channel.listenerCount("error"), 0);
});

test("a connection that breaks while it is made ready is followed by another, whatever waits for it", async () => {
  await using proxy = await TcpFaultProxy.listen({ port });
  let times = 0;
  await using link = linkTo(proxy, async () => {
    times += 1;
    if (times !== 2) return;
    proxy.reset();
    await new Promise(ignore);
  });
  await link.open();
  const first = await link.model();
  proxy.reset();
  await until("the first to be lost", () => !link.isUp);
  const next = await link.model();
  assert.equal(times, 3);
  assert.ok(link.has(next) && !link.has(first));
  await ended(await next.createChannel());
});

test("a channel that is not made ready is over before another is opened, and when nobody wants one any more", async () => {
  await using proxy = await TcpFaultProxy.listen({ port });
  await using link = linkTo(proxy);
  await link.open();
  const opened: Channel[] = [];
  const over: Channel[] = [];
  const faults: string[] = [];
  const openBeside: number[] = [];
  const lastOne = Promise.withResolvers<void>();
  const kept = new KeptChannel<Channel>({
    doing: "Trying",
    link,
    environment,
    open: plainChannel,
    ready: async (channel) => {
      openBeside.push(opened.length - over.length);
      opened.push(channel);
      if (opened.length === 1) throw new Error("not ready");
      if (opened.length === 3) await lastOne.promise;
    },
    lost: (channel) => void over.push(channel),
    fault: ({ message }) => void faults.push(message),
  });
  kept.start();
  await until("the second", () => kept.current !== undefined);
  const [, second] = opened;
  assert.equal(kept.current, second);
  assert.match(faults.join(), /^Trying failed: not ready\./);
  await kept.renew();
  await until("the third", () => opened.length === 3);
  await kept.close();
  lastOne.reject(new Error("not ready either"));
  await until("its end", () => over.length === 3);
  assert.deepEqual(openBeside, [0, 0, 0]);
  assert.deepEqual(over, opened);
});

test("a channel whose connection broke before anybody listened is not taken for one that is open", async () => {
  await using proxy = await TcpFaultProxy.listen({ port });
  await using link = linkTo(proxy);
  await link.open();
  let isFirst = true;
  const faults: string[] = [];
  const kept = new KeptChannel<Channel>({
    doing: "Trying",
    link,
    environment,
    open: async (model) => {
      const channel = await model.createChannel();
      if (isFirst) {
        isFirst = false;
        const gone = Promise.withResolvers<void>();
        model.once("close", () => gone.resolve());
        proxy.reset();
        await gone.promise;
      }
      return channel;
    },
    ready: async () => undefined,
    lost: ignore,
    fault: ({ message }) => void faults.push(message),
  });
  kept.start();
  await until("a channel", () => kept.current !== undefined);
  assert.match(faults.join(), /^Trying failed: the connection ended\./);
  await kept.current?.prefetch(1);
  await kept.close();
});
