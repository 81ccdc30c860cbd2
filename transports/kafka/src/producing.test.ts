import assert from "node:assert/strict";
import { test } from "node:test";
import { ResponseError } from "@platformatic/kafka";
import { fakeEnvironment } from "@waybill/testkit";
import type { KafkaClient } from "./client.ts";
import { settingsOf } from "./options.ts";
import { type Parcel, Producing } from "./producing.ts";

const leader = { host: "broker", port: 9092 };
const unknownTopicCode = 3;
const topic = "young";

/** A leader that has not heard of its topic until it was asked so often; `isThere` is what the cluster says of it. */
function producingTo(refusals: number, isThere: (asked: number) => boolean) {
  const environment = fakeEnvironment();
  let asked = 0;
  const client = {
    topic: () =>
      Promise.resolve(isThere(asked) ? { name: topic, id: topic, leaders: [leader] } : undefined),
    forget: () => undefined,
    askAny: () => Promise.resolve({ producerId: 1n, producerEpoch: 0 }),
    ask: async () => {
      asked += 1;
      if (asked > refusals) return;
      const partitionResponses = [{ index: 0, errorCode: unknownTopicCode }];
      const responses = [{ name: topic, partitionResponses }];
      const refused: [number, null] = [unknownTopicCode, null];
      throw new ResponseError(
        0,
        11,
        { "/responses/0/partition_responses/0": refused },
        { responses },
      );
    },
  };
  const producing = new Producing({
    client: client as unknown as KafkaClient,
    settings: settingsOf({ url: "kafka://broker" }),
    environment,
    signal: new AbortController().signal,
  });
  return { environment, producing, asked: () => asked };
}

const parcel: Parcel = { topic, partition: 0, value: Buffer.from("x"), headers: new Map() };

test("what goes to a leader that has not heard of its topic yet is sent again", async () => {
  const { environment, producing, asked } = producingTo(3, () => true);
  const produced = producing.produce([parcel]);
  await environment.advance(10_000);
  assert.deepEqual([...(await produced)], []);
  assert.equal(asked(), 4);
});

test("what goes to a topic that was deleted is NOT_FOUND as soon as the cluster says so", async () => {
  const { environment, producing } = producingTo(Infinity, (asked) => asked < 3);
  const produced = producing.produce([parcel]);
  await environment.advance(10_000);
  const refused = await produced;
  assert.equal(refused.get(parcel)?.code, "NOT_FOUND");
});
