import assert from "node:assert/strict";
import { test } from "node:test";
import { PartitionProgress, type ProgressEntry, type Reached } from "./partition-progress.ts";

type State = "open" | "returned" | "done";

interface Entry extends ProgressEntry {
  state: State;
}

class Progress extends PartitionProgress<Entry> {
  next: number;

  constructor(reached: Reached) {
    super(reached);
    this.next = reached.committed;
  }

  begin(...states: readonly State[]): readonly Entry[] {
    return states.map((state) => {
      const entry = { offset: this.next, attempt: this.attemptOf(this.next), state };
      this.entries.set(this.next, entry);
      this.next += 1;
      return entry;
    });
  }

  protected hasEnded({ state }: Entry): boolean {
    return state === "done";
  }
}

const from = (committed: number, delivered = committed, attempt = 0): Progress =>
  new Progress({ committed, delivered, attempt });

test("a reader that read nothing hands on what it was handed", () => {
  for (const [committed, delivered, attempt] of [
    [5, 5, 0],
    [5, 9, 0],
    [5, 9, 2],
  ] as const)
    assert.deepEqual(from(committed, delivered, attempt).reached, {
      committed,
      delivered,
      attempt,
    });
});

test("it stands at the first item that has not ended, and knows what was begun behind it", () => {
  const progress = from(5);
  progress.begin("done", "open", "done", "returned");
  assert.deepEqual(progress.reached, { committed: 6, delivered: 8, attempt: 1 });
});

test("what was returned untouched counts as never delivered, unless something behind it was", () => {
  const [alone, followed] = [from(0), from(0)];
  alone.begin("done", "returned");
  assert.deepEqual(alone.reached, { committed: 1, delivered: 1, attempt: 0 });
  followed.begin("returned", "open");
  assert.deepEqual(followed.reached, { committed: 0, delivered: 2, attempt: 0 });
  assert.deepEqual(
    followed.returned.map(({ offset }) => offset),
    [0],
  );
});

test("who reads on behind one that died counts each attempt, one item at a time", () => {
  const progress = from(3, 5, 2);
  assert.deepEqual(
    [3, 4, 5].map((offset) => progress.attemptOf(offset)),
    [3, 2, 1],
  );
  const [first] = progress.begin("open");
  assert.equal(progress.mayGoOn, false);
  assert.deepEqual(progress.reached, { committed: 3, delivered: 5, attempt: 3 });
  (first as Entry).state = "done";
  progress.settleDown();
  assert.equal(progress.mayGoOn, true);
  assert.equal(progress.isSuspect, true);
  assert.deepEqual(progress.reached, { committed: 4, delivered: 5, attempt: 0 });
});

test("past what a former reader had begun, items come side by side", () => {
  const progress = from(3, 4);
  const [suspect] = progress.begin("open");
  (suspect as Entry).state = "done";
  progress.settleDown();
  progress.begin("open");
  assert.deepEqual([progress.isSuspect, progress.mayGoOn], [false, true]);
});
