import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import {
  type Delivery,
  type Outgoing,
  type Topology,
  type Transport,
  systemEnvironment,
} from "@waybill/core";
import { type Channel, connect } from "amqplib";
import { Corner, until } from "./corner.test.support.ts";
import { delayMsMax } from "./delays.ts";
import { url } from "./subject.test.support.ts";
import { Names } from "./topology.ts";

const topology: Topology = {
  queues: [{ name: "jobs" }],
  topics: [{ name: "news" }],
  subscriptions: [{ topic: "news", name: "reader", accepts: [{ type: "news" }] }],
  streams: [],
};

/** Delays of its own: what others wait in is not deleted. */
async function isolated(context: TestContext) {
  const corner = new Corner();
  const names = new Names(corner.name(""), corner.system);
  const connection = await connect(url, { timeout: 10_000 });
  const channel = await connection.createChannel();
  const open = () => corner.factory({ prefix: corner.name("") }).open(corner.host);
  const [sender, receiver] = [await open(), await open()];
  for (const transport of [receiver, sender]) await transport.declare(topology);
  context.after(async () => {
    for (const transport of [sender, receiver]) await transport[Symbol.asyncDispose]();
    await removeAll(channel, names);
    await connection.close();
    await corner[Symbol.asyncDispose]();
  });
  return { names, channel, sender, receiver };
}

async function removeAll(channel: Channel, names: Names): Promise<void> {
  const levels = Array.from({ length: 28 }, (_, level) => names.delay(level));
  const kept = [names.queue("jobs"), names.subscription("news", "reader")];
  const queues = [
    ...levels,
    ...kept,
    ...kept.map((name) => names.dead(name)),
    names.unrouted("news"),
  ];
  for (const name of [...queues, names.lost, names.released, names.registry])
    await channel.deleteQueue(name);
  for (const name of [...levels, names.due, names.lost, names.exchange("news")])
    await channel.deleteExchange(name);
}

function message(to: Outgoing["to"], id: string, delayMs = 0): Outgoing {
  const now = systemEnvironment.clock.now();
  const time = new Date(now).toISOString();
  const datacontenttype = "text/plain";
  const header = { specversion: "1.0", id, source: "/", type: to.name, time } as const;
  return {
    to,
    envelope: { header: { ...header, conversationid: id, datacontenttype }, body: id },
    ...(delayMs > 0 && { notBefore: now + delayMs }),
  };
}

const jobs = { kind: "queue", name: "jobs" } as const;
const news = { kind: "topic", name: "news" } as const;

/** Ids as they come; the first time each is retried after `retryMs`. */
function collect(transport: Transport, retryMs?: number): string[] {
  const came: string[] = [];
  const failure = { reason: "X", message: "", service: "", handler: "", attempts: 1 };
  const take = async (delivery: Delivery): Promise<void> => {
    const first = delivery.attempt === 1 && retryMs !== undefined;
    came.push(`${delivery.envelope.header.id}:${delivery.attempt}`);
    await delivery.settle(
      first
        ? {
            kind: "retry",
            delayMs: retryMs,
            failure: { ...failure, firstFailedAt: 1, lastFailedAt: 1 },
          }
        : { kind: "complete" },
    );
  };
  for (const source of [jobs, { kind: "subscription", topic: "news", name: "reader" } as const])
    transport.receive(
      source,
      { prefetch: 10, prefetchBytes: 1_000_000, lockMs: 30_000 },
      { deliver: (batch) => batch.forEach((each) => void take(each)), fault: () => undefined },
    );
  return came;
}

test("what delays wait in is made again when somebody has deleted it: for commands, events and retries", async (context) => {
  const { names, channel, sender, receiver } = await isolated(context);
  const came = collect(receiver, 150);
  await sender.send([message(jobs, "a", 150), message(news, "b", 150)]);
  await until("the first", () => came.length === 4);
  // Both have used level 1, and the queue of one is enough to stop them.
  await channel.deleteQueue(names.delay(1));
  await sender.send([message(jobs, "c", 150), message(news, "d", 150)]);
  await until("after a queue was deleted", () => came.length === 8);
  await channel.deleteExchange(names.delay(1));
  await sender.send([message(jobs, "e", 150)]);
  await until("after an exchange was deleted", () => came.length === 10);
  await channel.deleteQueue(names.delay(1));
  await channel.deleteExchange(names.delay(1));
  // Comes at once; only its retry waits.
  await sender.send([message(jobs, "f")]);
  await until("a retry after both were deleted", () => came.includes("f:2"));
  const dead = await sender.inspection.list({ state: "dead", limit: 10 });
  assert.deepEqual(dead, []);
});

test("a delayed message reaches a queue that was deleted and made again, also from a process that had used its way before", async (context) => {
  const { names, channel, sender, receiver } = await isolated(context);
  const came = collect(receiver);
  await sender.send([message(jobs, "a", 100)]);
  await until("the first", () => came.length === 1);
  await channel.deleteQueue(names.queue("jobs"));
  await until("it is made again", async () => {
    const state = (await receiver.inspection.addresses()).find(({ address }) => address === "jobs");
    return state?.receivers === 1;
  });
  await sender.send([message(jobs, "b", 100)]);
  await until("the second", () => came.length === 2);
});

test("delays of every length wait in no more queues than there are levels", async (context) => {
  const { names, channel, sender } = await isolated(context);
  for (const delayMs of [1, 100, 101, 999, 5_000, 86_400_000, delayMsMax - 1, delayMsMax])
    await sender.send([message(jobs, String(delayMs), delayMs)]);
  let waiting = 0;
  for (let level = 0; level < 28; level++)
    waiting += (await channel.checkQueue(names.delay(level))).messageCount;
  assert.ok(waiting >= 3, `${waiting} wait`);
  const beyond = await connect(url);
  const question = await beyond.createChannel();
  question.on("error", () => undefined);
  await assert.rejects(question.checkQueue(names.delay(28)), /NOT_FOUND/);
  await beyond.close();
});
