import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import {
  type Outgoing,
  type Topology,
  type Transport,
  WaybillError,
  systemEnvironment,
} from "@waybill/core";
import { connect as amqp } from "amqplib";
import { Corner, until } from "./corner.test.support.ts";
import { rabbitmq } from "./index.ts";
import { port, url } from "./subject.test.support.ts";

const run = promisify(execFile);

async function rabbitmqctl(...args: readonly string[]): Promise<void> {
  await run("rabbitmqctl", args, { timeout: 60_000 });
}

const suffix = systemEnvironment.id().slice(-12);
const vhost = `waybill-test-${suffix}`;
/** May do everything in that virtual host, and nothing elsewhere. */
const owner = `owner-${suffix}`;
/** May make nothing, and write and read only what begins with "open". */
const guest = `limited-${suffix}`;

const urlOf = (user: string, at: string): string => `amqp://${user}:secret@127.0.0.1:${port}/${at}`;

const log: string[] = [];

function open(user: string, at = vhost): Promise<Transport> {
  const take = (said: string): void => void log.push(said);
  return rabbitmq({ url: urlOf(user, at) }).open({
    environment: systemEnvironment,
    logger: { debug: () => undefined, info: () => undefined, warn: take, error: take },
    instance: "test",
    unrouted: () => undefined,
  });
}

const withQueue = (name: string): Topology => ({
  queues: [{ name }],
  topics: [],
  subscriptions: [],
  streams: [],
});

function message(name: string): Outgoing {
  const header = {
    specversion: "1.0",
    id: "one",
    source: "/test",
    type: "test.done",
    time: "2030-01-01T00:00:00.000Z",
    datacontenttype: "text/plain",
    conversationid: "test",
  } as const;
  return { to: { kind: "queue", name }, envelope: { header, body: "one" } };
}

async function refusal(work: Promise<unknown>): Promise<WaybillError> {
  try {
    await work;
  } catch (error) {
    assert.ok(error instanceof WaybillError, String(error));
    return error;
  }
  throw new Error("it was not refused");
}

const isHere = await rabbitmqctl("version").then(
  () => true,
  () => false,
);

describe(
  "virtual hosts and rights",
  { skip: isHere ? false : "rabbitmqctl is not here, or may not be used" },
  () => {
    before(async () => {
      await rabbitmqctl("add_vhost", vhost);
      for (const user of [owner, guest]) await rabbitmqctl("add_user", user, "secret");
      await rabbitmqctl("set_permissions", "-p", vhost, owner, ".*", ".*", ".*");
      // The default exchange is written to whatever the queue is.
      await rabbitmqctl("set_permissions", "-p", vhost, guest, "^$", "^none$", "^open");
    });

    after(async () => {
      for (const user of [owner, guest]) await rabbitmqctl("delete_user", user);
      await rabbitmqctl("delete_vhost", vhost);
    });

    test("what is declared in a virtual host stands in no other", async () => {
      await using transport = await open(owner);
      await transport.declare(withQueue("open.work"));
      await transport.send([message("open.work")]);
      const connection = await amqp(url);
      const channel = await connection.createChannel();
      channel.on("error", () => undefined);
      await assert.rejects(channel.checkQueue("open.work"), { code: 404 });
      await connection.close();
      const [state] = await transport.inspection.addresses();
      assert.equal(state?.address, "open.work");
    });

    test("a virtual host that the user may not enter is UNAUTHORISED, with what to do", async () => {
      const { code, message: said } = await refusal(open(owner, ""));
      assert.equal(code, "UNAUTHORISED");
      assert.match(said, /give the user access/);
      assert.doesNotMatch(said, /secret/);
    });

    test("what a user may not make is UNAUTHORISED, and names it", async () => {
      await using transport = await open(guest);
      const { code, message: said } = await refusal(transport.declare(withQueue("closed.work")));
      assert.equal(code, "UNAUTHORISED");
      assert.match(said, /closed\.work.*Grant the user configure, write and read/);
    });

    test("an event whose type a user may not write is UNAUTHORISED at once, and those beside it arrive", async () => {
      const topics = [{ name: "open.news" }];
      const accepts = [{ type: "test.done" }, { type: "test.secret" }];
      const subscriptions = [{ topic: "open.news", name: "reader", accepts }];
      await using transport = await open(owner);
      await transport.declare({ queues: [], topics, subscriptions, streams: [] });
      await rabbitmqctl(
        "set_topic_permissions",
        "-p",
        vhost,
        owner,
        "open.news",
        "^test.done$",
        ".*",
      );
      const to = { kind: "topic", name: "open.news" } as const;
      const { envelope } = message("");
      const secret = { body: "", header: { ...envelope.header, type: "test.secret" } };
      const refused = refusal(transport.send([{ to, envelope: secret }]));
      await transport.send([{ to, envelope }]);
      // When the time of a send is up it is TRANSPORT_FAILED.
      assert.equal((await refused).code, "UNAUTHORISED");
      await rabbitmqctl("clear_topic_permissions", "-p", vhost, owner);
    });

    test("what a user may not send is UNAUTHORISED at once, and names it", async () => {
      await using transport = await open(guest);
      const { code, message: said } = await refusal(transport.send([message("open.work")]));
      // Not TRANSPORT_FAILED, which it is when the time of a send is up.
      assert.equal(code, "UNAUTHORISED");
      assert.match(said, /access to exchange 'amq\.default'.*Grant the user/);
    });

    test("what a user may not read is told as UNAUTHORISED", async () => {
      await using transport = await open(guest);
      const faults: WaybillError[] = [];
      const options = { prefetch: 1, prefetchBytes: 1_000, lockMs: 1_000 };
      transport.receive({ kind: "queue", name: "closed" }, options, {
        deliver: () => undefined,
        fault: (error) => void faults.push(error),
      });
      await until("a fault", () => faults.length > 0);
      assert.equal(faults[0]?.code, "UNAUTHORISED");
    });

    test("without the right to make the log of releases a release counts, and that is told", async () => {
      await using transport = await open(guest);
      assert.equal(transport.capabilities.releaseCounts, true);
      assert.equal(transport.capabilities.streams, false);
      assert.match(log.join("\n"), /counts as an attempt.*waybill\.released/);
      const streams = [{ name: "open.readings", partitions: 1, retention: {} }];
      const { code } = await refusal(
        transport.declare({ queues: [], topics: [], subscriptions: [], streams }),
      );
      assert.equal(code, "NOT_SUPPORTED");
    });
  },
);

test("a queue that is there with other arguments is told with its name and the argument", async () => {
  await using corner = new Corner();
  const name = corner.name("limited");
  const connection = await amqp(url);
  const channel = await connection.createChannel();
  await channel.assertQueue(name, {
    durable: true,
    arguments: { "x-queue-type": "quorum", "x-delivery-limit": 5 },
  });
  const transport = await corner.factory().open({
    environment: systemEnvironment,
    logger: corner.logger,
    instance: "test",
    unrouted: () => undefined,
  });
  const error = await refusal(transport.declare(withQueue(name)));
  assert.equal(error.code, "WIRING_INVALID");
  assert.match(error.message, /x-delivery-limit/);
  assert.deepEqual(error.details, { queue: name, argument: "x-delivery-limit" });
  await transport[Symbol.asyncDispose]();
  await connection.close();
});
