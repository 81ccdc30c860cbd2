import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, command } from "@waybill/contracts";
import { connect, service } from "@waybill/core";
import { type Options, connect as amqp } from "amqplib";
import { Corner, until } from "./corner.test.support.ts";
import { url } from "./subject.test.support.ts";

interface Job {
  readonly id: string;
}

const Job: Schema<Job> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as Job }) },
};

async function publish(queue: string, messages: readonly [id: string, Options.Publish][]) {
  const connection = await amqp(url);
  const channel = await connection.createConfirmChannel();
  for (const [id, options] of messages)
    channel.sendToQueue(queue, Buffer.from(JSON.stringify({ id })), options);
  await channel.waitForConfirms();
  await connection.close();
}

const beyondDates = 9_000_000_000_000_000;

const odd: readonly unknown[] = [
  "",
  "nonsense",
  "{",
  "null",
  '{"reason":7}',
  '{"reason":"x"}',
  "9:9",
  "\u0000",
  "[]",
  "1e999",
  0,
  -1,
  0.5,
  beyondDates,
  -beyondDates,
  true,
  false,
  [],
  [1, "two"],
  {},
  { nested: { deeply: [] } },
  Buffer.from([0, 255]),
  { "!": "timestamp", value: 1 },
  { "!": "decimal", value: { digits: 314, places: 2 } },
];

const standard =
  "id source type time subject datacontenttype dataschema specversion correlationid causationid conversationid partitionkey sequence expirytime replyto dedupid deadline calldepth traceparent attributes __proto__";
const own = "attributes text attempts failure enqueued-at not-after discard-expired copy position";
const headerNames = [
  ...standard.split(" ").map((name) => `cloudEvents_${name}`),
  ...own.split(" ").map((name) => `waybill-${name}`),
  "x-delivery-count",
  "x-death",
  "x-stream-offset",
];

/** What became of those that were not handled. */
const refusals = new Set(["TYPE_UNKNOWN", "VERSION_UNKNOWN", "EXPIRED", "HANDLER_CRASHED"]);

for (const [how, key, failing] of [
  ["", undefined, 0],
  [", in the order of keys and after a retry", (job: Job) => job.id, 1],
] as const)
  test(`whatever stands in the headers of a foreign producer, its message ends handled or dead, and those behind it are handled${how}`, async () => {
    await using corner = new Corner();
    const DoJob = command(corner.name("job"), { input: Job, ...(key !== undefined && { key }) });
    const seen = new Set<string>();
    const worker = service("worker").handle(
      DoJob,
      ({ id }, { attempt }) => {
        if (attempt <= failing) throw new Error("not yet");
        seen.add(id);
      },
      { retry: { immediate: 0, attempts: 5, delayMs: 1 } },
    );
    await using bus = await connect({ ...corner.options, services: [worker] });
    const messages: [string, Options.Publish][] = [];
    for (const name of headerNames)
      for (const [at, value] of odd.entries()) {
        const id = `${name}:${at}`;
        const headers = { [name]: value };
        messages.push([id, { messageId: id, contentType: "application/json", headers }]);
      }
    await publish(DoJob.name, [...messages, ["last", { contentType: "application/json" }]]);
    await until("the last one", () => seen.has("last"));
    const dead = () => bus.deadLetters.list({ limit: 1_000 });
    const ended = async (): Promise<number> => seen.size + (await dead()).length;
    await until("each has ended", async () => (await ended()) >= messages.length + 1);
    for (const { failure, envelope } of await dead())
      assert.ok(
        refusals.has(failure?.reason ?? ""),
        `${envelope.header.id}: ${JSON.stringify(failure)}`,
      );
    assert.deepEqual(
      corner.log.filter((said) => !/takes the type|among the dead|attempt|next try/.test(said)),
      [],
    );
  });

test("a foreign message whose headers are as large as AMQP allows is retried and set aside like any other", async () => {
  await using corner = new Corner();
  const DoJob = command(corner.name("job"), { input: Job });
  let attempts = 0;
  const worker = service("worker").handle(
    DoJob,
    () => {
      attempts += 1;
      throw new Error("no ".repeat(10_000));
    },
    { retry: { immediate: 0, attempts: 3, delayMs: 1 } },
  );
  await using bus = await connect({ ...corner.options, services: [worker] });
  const almost = "x".repeat(64_000);
  const messages: [string, Options.Publish][] = [
    ["extension", { headers: { cloudEvents_baggage: almost, cloudEvents_tenant: "t" } }],
    ["attributes", { headers: { "waybill-attributes": JSON.stringify({ almost }) } }],
    ["id", { headers: { cloudEvents_id: "i".repeat(300), cloudEvents_type: DoJob.name } }],
    ["correlation", { headers: { cloudEvents_correlationid: "c".repeat(300) } }],
    ["many", { headers: Object.fromEntries(many(1_500)) }],
  ];
  await publish(DoJob.name, messages);
  const dead = () => bus.deadLetters.list();
  await until("all are dead", async () => (await dead()).length === messages.length);
  assert.equal(attempts, 3 * messages.length);
  for (const { failure } of await dead()) assert.match(failure?.message ?? "", /^no no/);
});

function many(count: number): [string, string][] {
  return Array.from({ length: count }, (_, at) => [`cloudEvents_extension${at}`, "some text"]);
}
