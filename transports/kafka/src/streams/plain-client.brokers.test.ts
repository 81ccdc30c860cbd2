import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Message, compatibilityPartitioner } from "@platformatic/kafka";
import { Corner, Reading, appended, complete, until } from "../corner.test.support.ts";

const keys = ["a", "b", "ünïcode", "device-42", "", "x".repeat(300)];

describe("A client that knows nothing of Waybill", () => {
  test("produces plain JSON, which a group reads with its key and its place", async () => {
    await using corner = new Corner();
    const transport = await corner.withStream("readings", 4);
    const reading = new Reading(transport, "readings", { onDelivery: complete });
    const producer = corner.producer();
    const value = Buffer.from(JSON.stringify({ celsius: 21.5 }));
    const topic = corner.names.streamTopic("readings");
    await producer.send({
      messages: [{ topic, key: Buffer.from("device-42"), value }],
      partitioner: compatibilityPartitioner,
    });
    await until("the item", () => reading.deliveries.length === 1);
    const [delivery] = reading.deliveries;
    assert.deepEqual(JSON.parse(reading.bodies[0] ?? ""), { celsius: 21.5 });
    const { header } = delivery?.envelope ?? {};
    assert.equal(header?.datacontenttype, "application/json");
    assert.equal(header?.partitionkey, "device-42");
    const partition = compatibilityPartitioner(undefined as never, Buffer.from("device-42")) % 4;
    assert.deepEqual(delivery?.position, { partition, offset: 0 });
    assert.equal(header?.id, `${topic}-${partition}-0`);
  });

  test("reads what is appended as CloudEvents' Kafka binding has it, in the partition where its own key would lie", async () => {
    await using corner = new Corner();
    const transport = await corner.withStream("readings", 8);
    await transport.send(appended("readings", keys.length, keys));
    const consumer = corner.consumer("plain");
    const topics = [corner.names.streamTopic("readings")];
    const stream = await consumer.consume({ topics, mode: "earliest", autocommit: false });
    const read: Message[] = [];
    for await (const message of stream) {
      read.push(message);
      if (read.length === keys.length) break;
    }
    for (const { key, value, partition, headers } of read) {
      const text = new Map([...headers].map(([name, each]) => [String(name), String(each)]));
      const partitionkey = text.get("ce_partitionkey") ?? "";
      assert.equal(String(key ?? ""), partitionkey);
      assert.ok(value.toString().startsWith(`${partitionkey}:`));
      const expected = compatibilityPartitioner(undefined as never, Buffer.from(partitionkey)) % 8;
      assert.equal(partition, expected);
      assert.deepEqual(
        [text.get("ce_specversion"), text.get("ce_type"), text.get("content-type")],
        ["1.0", "test.item", "text/plain"],
      );
    }
  });

  test("commits and gives up transactions, of which a group gets what was committed, and no lag is left", async () => {
    await using corner = new Corner();
    const transport = await corner.withStream("transacted", 1);
    const producer = corner.producer({ transactionalId: `${corner.prefix}-tx` });
    const topic = corner.names.streamTopic("transacted");
    for (const value of ["given up", "kept"]) {
      const transaction = await producer.beginTransaction();
      await transaction.send({ messages: [{ topic, value: Buffer.from(value) }] });
      await (value === "kept" ? transaction.commit() : transaction.abort());
    }
    const reading = new Reading(transport, "transacted", { onDelivery: complete });
    await until("the item", () => reading.deliveries.length === 1);
    assert.deepEqual(reading.bodies, ["kept"]);
    const groupId = corner.names.group("transacted@readers");
    const admin = corner.admin();
    await until("no lag", async () => {
      const groups = [{ groupId, topics: [{ name: topic, partitionIndexes: [0] }] }];
      const [group] = await admin.listConsumerGroupOffsets({ groups });
      // Two items, and two marks of the transactions' ends.
      return group?.topics[0]?.partitions[0]?.committedOffset === 4n;
    });
  });

  test("moves a group that nobody reads, as Kafka's own tools do", async () => {
    await using corner = new Corner();
    const transport = await corner.withStream("moved", 1);
    await transport.send(appended("moved", 5, ["a"]));
    const first = new Reading(await corner.open(), "moved", { onDelivery: complete });
    await until("all items", () => first.deliveries.length === 5);
    const admin = corner.admin();
    const groupId = corner.names.group("moved@readers");
    await first.receiver.stop();
    const topics = [
      { name: corner.names.streamTopic("moved"), partitionOffsets: [{ partition: 0, offset: 3n }] },
    ];
    await until("nobody to read", () =>
      admin.alterConsumerGroupOffsets({ groupId, topics }).then(
        () => true,
        () => false,
      ),
    );
    const second = new Reading(transport, "moved", { onDelivery: complete });
    await until("two items", () => second.deliveries.length === 2);
    assert.deepEqual(
      second.deliveries.map(({ attempt }, index) => [second.bodies[index], attempt]),
      [
        ["a:3", 1],
        ["a:4", 1],
      ],
    );
  });
});

describe("The topic of a stream", () => {
  test("is kept by age and bytes, and by others when it is declared again", async () => {
    await using corner = new Corner();
    const transport = await corner.open();
    const resourceName = corner.names.streamTopic("kept");
    const admin = corner.admin();
    for (const [retention, expected] of [
      [{ ageMs: 3_600_000, bytes: 1_000_000 }, ["3600000", "1000000"]],
      [{ ageMs: 60_000 }, ["60000", "-1"]],
      [{}, ["-1", "-1"]],
    ] as const) {
      const streams = [{ name: "kept", partitions: 2, retention }];
      await transport.declare({ queues: [], topics: [], subscriptions: [], streams });
      const configurationKeys = ["retention.ms", "retention.bytes", "message.timestamp.type"];
      await until("the settings to be there", async () => {
        const [described] = await admin.describeConfigs({
          resources: [{ resourceType: 2, resourceName, configurationKeys }],
        });
        const found = new Map(described?.configs.map(({ name, value }) => [name, value]));
        return configurationKeys.every(
          (name, index) => found.get(name) === [...expected, "LogAppendTime"][index],
        );
      });
    }
  });
});

describe("What was given back to a group", () => {
  test("is deleted when it is done, and the topic of it stays empty", async () => {
    await using corner = new Corner();
    const transport = await corner.withStream("replayed", 1);
    await transport.send(appended("replayed", 3, ["a"]));
    let dies = true;
    const failure = {
      reason: "HANDLER_FAILED",
      message: "no",
      service: "test",
      handler: "test",
      attempts: 1,
      firstFailedAt: 0,
      lastFailedAt: 0,
    };
    const reading = new Reading(transport, "replayed", {
      onDelivery: (delivery) =>
        void delivery.settle(dies ? { kind: "deadLetter", failure } : { kind: "complete" }),
    });
    const { inspection } = transport;
    const dead = () => inspection.list({ state: "dead", address: "replayed@readers", limit: 10 });
    await until("three dead letters", async () => (await dead()).length === 3);
    dies = false;
    assert.equal(await inspection.replay((await dead()).map(({ handle }) => handle)), 3);
    await until("three replays", () => reading.deliveries.length === 6);
    const admin = corner.admin();
    const name = corner.names.returnsTopic("replayed@readers");
    await until("nothing to be left", async () => {
      const partitions = [{ partitionIndex: 0, timestamp: -2n }];
      const [listed] = await admin.listOffsets({ topics: [{ name, partitions }] });
      return listed?.partitions[0]?.offset === 3n;
    });
  });
});
