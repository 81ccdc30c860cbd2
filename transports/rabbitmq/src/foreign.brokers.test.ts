import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, command, event } from "@waybill/contracts";
import { connect, service } from "@waybill/core";
import { type GetMessage, connect as amqp } from "amqplib";
import { Corner, until } from "./corner.test.support.ts";
import { url } from "./subject.test.support.ts";

interface Job {
  readonly id: string;
}

const Job: Schema<Job> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) =>
      typeof Object(value).id === "string"
        ? { value: value as Job }
        : { issues: [{ message: "must be text", path: ["id"] }] },
  },
};

test("a plain client sends plain JSON to the queue of a command, without a single header", async () => {
  await using corner = new Corner();
  const DoJob = command(corner.name("job"), { input: Job });
  const seen: string[] = [];
  const worker = service("worker").handle(DoJob, ({ id }) => void seen.push(id));
  await using bus = await connect({ ...corner.options, services: [worker] });
  const connection = await amqp(url);
  const channel = await connection.createConfirmChannel();
  channel.sendToQueue(DoJob.name, Buffer.from('{"id":"plain"}'));
  channel.sendToQueue(DoJob.name, Buffer.from("no JSON"));
  await channel.waitForConfirms();
  await connection.close();
  await until("it is handled", () => seen.length === 1);
  assert.deepEqual(seen, ["plain"]);
  await until("the other one", async () => (await bus.deadLetters.list()).length === 1);
});

test("a client in another language publishes a CloudEvent with attributes, in either spelling of its headers", async () => {
  await using corner = new Corner();
  const Happened = event(corner.name("happened"), { payload: Job });
  const seen: unknown[] = [];
  const reader = service("reader").on(
    Happened,
    ({ id }, { header }) => void seen.push([id, header.id]),
  );
  await using _ = await connect({ ...corner.options, services: [reader] });
  const connection = await amqp(url);
  const channel = await connection.createConfirmChannel();
  for (const [id, prefix] of [
    ["1", "cloudEvents_"],
    ["2", "cloudEvents:"],
  ] as const)
    channel.publish(Happened.topic, Happened.name, Buffer.from(JSON.stringify({ id })), {
      contentType: "application/json",
      headers: {
        [`${prefix}specversion`]: "1.0",
        [`${prefix}id`]: `foreign-${id}`,
        [`${prefix}source`]: "/billing",
        [`${prefix}type`]: Happened.name,
      },
    });
  await channel.waitForConfirms();
  await connection.close();
  await until("both", () => seen.length === 2);
  assert.deepEqual(seen, [
    ["1", "foreign-1"],
    ["2", "foreign-2"],
  ]);
});

test("a plain client reads what Waybill sends: JSON, AMQP's own properties and the headers of the README", async () => {
  await using corner = new Corner();
  const DoJob = command(corner.name("job"), { input: Job });
  const sender = service("sender", { sends: [DoJob] });
  await using bus = await connect({ ...corner.options, services: [sender] });
  await bus.send(DoJob, { id: "1" });
  const connection = await amqp(url);
  const channel = await connection.createChannel();
  const message = (await channel.get(DoJob.name)) as GetMessage;
  channel.ack(message);
  await channel.close();
  await connection.close();
  const { properties, content } = message;
  assert.deepEqual(JSON.parse(content.toString()), { id: "1" });
  assert.deepEqual(
    [properties.contentType, properties.type, properties.deliveryMode],
    ["application/json", DoJob.name, 2],
  );
  const { headers = {} } = properties;
  assert.equal(headers["cloudEvents_id"], properties.messageId);
  assert.deepEqual(
    Object.keys(headers)
      .filter((name) => name !== "x-delivery-count")
      .toSorted(),
    golden.toSorted(),
  );
  assert.equal(headers["cloudEvents_specversion"], "1.0");
  assert.equal(headers["cloudEvents_type"], DoJob.name);
});

/** What other languages may rely on: a change here breaks them. */
const golden = [
  "cloudEvents_specversion",
  "cloudEvents_id",
  "cloudEvents_source",
  "cloudEvents_type",
  "cloudEvents_time",
  "cloudEvents_dataschema",
  "cloudEvents_conversationid",
  "waybill-text",
  "waybill-enqueued-at",
];
