import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { type Schema, command, event } from "@waybill/contracts";
import { type Delivery, connect, service, systemEnvironment as environment } from "@waybill/core";
import { connect as amqp } from "amqplib";
import { Corner, until } from "./corner.test.support.ts";
import { Link } from "./link.ts";
import { settingsOf } from "./options.ts";
import { RabbitmqReceiver } from "./receiver.ts";
import { url } from "./subject.test.support.ts";

const Job: Schema<{ readonly id: string }> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => ({ value: value as { id: string } }),
  },
};

test("a queue that is deleted underneath is made again, and what is sent then is handled", async () => {
  await using corner = new Corner();
  const DoJob = command(corner.name("job"), { input: Job });
  const seen: string[] = [];
  const worker = service("worker").handle(DoJob, ({ id }) => void seen.push(id));
  await using bus = await connect({ ...corner.options, services: [worker] });
  await bus.send(DoJob, { id: "1" });
  await until("the first", () => seen.length === 1);
  const connection = await amqp(url);
  const channel = await connection.createChannel();
  await channel.deleteQueue(DoJob.name);
  await connection.close();
  await until("the second", async () => {
    if (seen.length === 1) await bus.send(DoJob, { id: "2" }).catch(() => pause(50));
    return seen.includes("2");
  });
  assert.ok(corner.log.some((line) => line.includes("its queue was deleted or moved")));
});

test("a channel that the server closes is opened again, and only who caused it is told", async () => {
  await using corner = new Corner();
  const Happened = event(corner.name("happened"), { payload: Job });
  const DoJob = command(corner.name("job"), { input: Job });
  const seen: string[] = [];
  const worker = service("worker", { publishes: [Happened] }).handle(
    DoJob,
    ({ id }) => void seen.push(id),
  );
  await using bus = await connect({ ...corner.options, services: [worker] });
  const connection = await amqp(url);
  const channel = await connection.createChannel();
  await channel.deleteExchange(Happened.topic);
  await connection.close();
  // To publish to what is not there ends the channel, with everything on it that is not confirmed.
  const sent = ["1", "2", "3"].map((id) => bus.send(DoJob, { id }));
  await assert.rejects(bus.publish(Happened, { id: "1" }), { code: "UNROUTABLE" });
  await Promise.all(sent);
  await bus.send(DoJob, { id: "4" });
  await until("all", () => new Set(seen).size === 4);
});

test("a queue that was deleted and could not be made again at once is tried until it is there", async () => {
  await using corner = new Corner();
  const queue = corner.name("job");
  const settings = settingsOf({ url });
  await using link = new Link({ settings, environment, logger: corner.logger, name: "test" });
  await link.open();
  const connection = await amqp(url);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue(queue, { durable: true });
  let failures = 0;
  const faults: string[] = [];
  const came: Delivery[] = [];
  const receiver = new RabbitmqReceiver({
    queue,
    isSingle: false,
    address: queue,
    options: { prefetch: 10, prefetchBytes: 1_000_000, lockMs: 10_000 },
    listener: {
      deliver: (batch) => void came.push(...batch),
      fault: ({ message }) => void faults.push(message),
    },
    link,
    environment,
    move: () => Promise.resolve(),
    note: () => Promise.resolve(),
    count: () => Promise.resolve(),
    restore: async () => {
      if (failures++ < 2) throw new Error("no leader");
      await channel.assertQueue(queue, { durable: true });
    },
    onEnd: () => undefined,
  });
  const consumers = async () => (await channel.checkQueue(queue)).consumerCount;
  await until("it receives", async () => (await consumers()) === 1);
  await channel.deleteQueue(queue);
  await until("it is made again", () => failures > 2);
  channel.sendToQueue(queue, Buffer.from("one"));
  await until("it receives again", () => came.length === 1);
  assert.ok(faults.some((said) => said.includes("no leader")));
  assert.equal(await came[0]?.settle({ kind: "complete" }), "settled");
  await receiver.close();
  await channel.deleteQueue(queue);
  await connection.close();
});
