import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { RecordsBatch } from "@platformatic/kafka";
import { pageOf } from "./fetching.ts";

const [brokersTime, transactional, control] = [1 << 3, 1 << 4, 1 << 5];

function batch(
  firstOffset: number,
  values: readonly string[],
  { attributes = 0, producerId = -1 } = {},
): RecordsBatch {
  return {
    firstOffset: BigInt(firstOffset),
    lastOffsetDelta: values.length - 1,
    attributes,
    producerId: BigInt(producerId),
    firstTimestamp: 1_000n,
    maxTimestamp: 5_000n,
    records: values.map((value, offsetDelta) => ({
      offsetDelta,
      timestampDelta: BigInt(offsetDelta),
      key: null,
      value: Buffer.from(value),
      headers: [],
    })),
  } as unknown as RecordsBatch;
}

function page(records: readonly RecordsBatch[], from: number, aborted: [number, number][] = []) {
  const answered = {
    records: [...records],
    abortedTransactions: aborted.map(([producerId, firstOffset]) => ({
      producerId: BigInt(producerId),
      firstOffset: BigInt(firstOffset),
    })),
  };
  const read = pageOf(answered, { topic: "t", partition: 0 }, BigInt(from));
  const values = read.records.map(({ value }) => value?.toString());
  return { values, next: Number(read.next), records: read.records };
}

describe("The records of a fetch", () => {
  test("begin at the offset that was asked for, though a batch comes whole", () => {
    const { values, next } = page([batch(0, ["a", "b", "c"]), batch(3, ["d"])], 1);
    assert.deepEqual([values, next], [["b", "c", "d"], 4]);
  });

  test("are without those of transactions that were given up, and without their marks", () => {
    const of = (producerId: number, attributes = transactional) => ({ attributes, producerId });
    const records = [
      batch(0, ["given up"], of(7)),
      batch(1, ["kept"], of(8)),
      batch(2, ["mark"], of(7, transactional | control)),
      batch(3, ["later kept"], of(7)),
      batch(4, ["mark"], of(8, transactional | control)),
    ];
    const { values, next } = page(records, 0, [[7, 0]]);
    assert.deepEqual([values, next], [["kept", "later kept"], 5]);
  });

  test("have the broker's time where the topic asks for it, else the producer's", () => {
    const times = (attributes: number): readonly number[] =>
      page([batch(0, ["a", "b"], { attributes })], 0).records.map((each) => each.timestampMs);
    assert.deepEqual(times(0), [1_000, 1_001]);
    assert.deepEqual(times(brokersTime), [5_000, 5_000]);
  });
});
