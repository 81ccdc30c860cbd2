import assert from "node:assert/strict";
import { test } from "node:test";
import { cursorAt, readCursor, writeCursor } from "./cursor.ts";
import type { StreamDelivery } from "./delivery.ts";
import { partitionOf } from "./logs.ts";
import { type Entry, type EntryState, Progress } from "./progress.ts";

const delivery = {} as StreamDelivery;

function begin(progress: Progress, ...states: readonly EntryState[]): readonly Entry[] {
  return states.map((state) => {
    const offset = progress.next;
    const entry = { offset, attempt: progress.attemptOf(offset), state, delivery };
    progress.entries.set(offset, entry);
    progress.next = offset + 1;
    return entry;
  });
}

test("the cursor stands at the first item that is not done, and knows what was begun behind it", () => {
  const progress = new Progress(cursorAt(5));
  begin(progress, "done", "ending", "open", "done", "returned");
  assert.deepEqual(progress.reached, { committed: 7, delivered: 9, attempt: 1 });
});

test("a cursor is read as it was written, and nonsense is none", () => {
  const cursor = { ...cursorAt(7), owner: "me", moved: 2, replays: { 4: 1, 9: 0 } };
  assert.deepEqual(readCursor(writeCursor(cursor)), cursor);
  for (const text of ["", "null", "[]", "{}", '{"committed":-1}', '{"committed":"1"}'])
    assert.equal(readCursor(text), undefined);
});

test("a key has the partition that nats-server's mapping gives it, for ever", () => {
  // FNV-1a, 32 bits: "a" is 0xe40c292c, "foobar" is 0xbf9cf968.
  assert.equal(partitionOf("a", 1_000), 0xe40c292c % 1_000);
  assert.equal(partitionOf("foobar", 7), 0xbf9cf968 % 7);
  assert.equal(partitionOf("", 10), 0x811c9dc5 % 10);
});
