import assert from "node:assert/strict";
import { test } from "node:test";
import { beginning, readProgress, writeProgress } from "./progress.ts";
import type { Stored } from "./message.ts";
import { Window } from "./window.ts";

const record = (offset: number): Stored => ({
  topic: "t",
  partition: 0,
  offset: BigInt(offset),
  timestampMs: 0,
  key: null,
  value: Buffer.from("x"),
  headers: [],
});

test("what is done above an offset, and how often the rest was handed over, is read as it was written", () => {
  const done = new Set([101, 102, 103, 107, 250]);
  const deliveries = new Map([
    [100, 2],
    [104, 1],
    [105, 1],
    [106, 1],
    [108, 1],
  ]);
  const progress = { base: 100, done, deliveries, seek: 0 };
  const text = writeProgress(progress);
  assert.equal(text, "w1|1-3,7,46|0*2,4-8*1");
  assert.deepEqual(readProgress(100, text), progress);
  const sought = { ...progress, seek: 3 };
  assert.deepEqual(readProgress(100, writeProgress(sought)), sought);
  assert.deepEqual(readProgress(7, writeProgress(beginning(7, 2))), beginning(7, 2));
  for (const nonsense of [
    "",
    "w1",
    "w2|1|2",
    "w1|?-!|*",
    "w1|0-zzzzzzzz|",
    "w1|||x",
    undefined,
    null,
  ])
    assert.deepEqual(readProgress(5, nonsense), beginning(5));
});

test("what would be too long for Kafka is cut, and what is left can be read", () => {
  const done = new Set(Array.from({ length: 5_000 }, (_, index) => index * 2 + 1));
  const text = writeProgress({ base: 0, done, deliveries: new Map([[0, 1]]), seek: 0 });
  assert.ok(text.length < 4_096, `${text.length} characters`);
  const read = readProgress(0, text).done;
  assert.ok(read.size > 500 && [...read].every((offset) => done.has(offset)));
});

test("the offset that is committed stays below the lowest that is unfinished, in whatever order they end", () => {
  const window = new Window("t:0", readProgress(10, ""));
  window.add([10, 11, 12, 13].map(record), 14);
  const entries = [10, 11, 12, 13].map(() => {
    const entry = window.peek();
    assert.equal(window.take(), 0);
    assert.ok(entry !== undefined);
    return entry;
  });
  const [first, second, third] = entries;
  assert.ok(first !== undefined && second !== undefined && third !== undefined);
  window.finish(third);
  assert.deepEqual(window.progress, { offset: 10, metadata: "w1|2|0-3*1" });
  window.finish(first);
  assert.deepEqual(window.progress, { offset: 11, metadata: "w1|1|0-2*1" });
  // Given back untouched, and taken again: it was delivered once.
  window.giveBack(second);
  assert.equal(window.held, 1);
  assert.equal(window.peek(), second);
  assert.equal(window.take(), 0);
  window.finish(second);
  assert.deepEqual(window.progress, { offset: 13, metadata: "w1||0*1" });
  const next = new Window("t:0", readProgress(11, "w1|1|0-2*1"));
  next.add([11, 12, 13].map(record), 14);
  assert.deepEqual([next.peek()?.offset, next.take(), next.peek()?.offset], [11, 1, 13]);
});

test("in order, what a former reader had in hand comes alone, and what was never handed over does not wait for it longer", () => {
  const window = new Window("t:0", readProgress(10, "w1||0-1*1"), true);
  window.add([10, 11, 12, 13].map(record), 14);
  const [first, second] = [window.peek(), undefined];
  assert.deepEqual([first?.offset, window.take(), window.peek()], [10, 1, second]);
  // Tried again where it is: it counts for it alone.
  assert.ok(first !== undefined);
  assert.equal(window.count(first), 2);
  assert.deepEqual(window.progress, { offset: 10, metadata: "w1||0*3,1*1" });
  window.finish(first);
  const next = window.peek();
  assert.deepEqual([next?.offset, window.take(), window.peek()], [11, 1, undefined]);
  assert.ok(next !== undefined);
  window.finish(next);
  assert.deepEqual([window.peek()?.offset, window.take(), window.peek()?.offset], [12, 0, 13]);
});
