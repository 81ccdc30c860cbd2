import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Ends } from "./log.ts";
import type { Stored } from "./message.ts";
import { type Room, Shelf, type ShelfParts, isToken } from "./shelf.ts";

const wide: Room = { messagesMax: 1_000, bytesMax: 1_000_000 };

/** A partition that lies in memory. */
class MemoryLog implements Pick<ShelfParts["log"], "ends" | "read"> {
  readonly records: Stored[] = [];
  /** Records that were handed to somebody. */
  given = 0;
  next = 0n;

  lay(token: string, value: Buffer | null = Buffer.from("x")): void {
    const offset = this.next++;
    const place = { topic: "t", partition: 0, offset, timestampMs: 0, headers: [] };
    this.records.push({ ...place, key: Buffer.from(token), value });
  }

  ends(): Promise<readonly Ends[]> {
    return Promise.resolve([{ first: 0n, next: this.next }]);
  }

  read: ShelfParts["log"]["read"] = async (_topic, _partition, { from, to = this.next, each }) => {
    await Promise.resolve();
    // A batch comes whole: one record more than was asked for.
    for (const record of this.records)
      if (record.offset >= from && record.offset <= to) {
        this.given += 1;
        each(record);
      }
    return this.next;
  };
}

function shelfOn(log: MemoryLog, room: Room = wide): Shelf {
  return new Shelf({ log, topic: "t", room });
}

async function tokens(shelf: Shelf, after?: string, limit = 1_000): Promise<readonly string[]> {
  return [...(await shelf.page(after, limit)).values()];
}

describe("A shelf", () => {
  test("knows what lies there: the newest of a token, and nothing that left", async () => {
    const log = new MemoryLog();
    const shelf = shelfOn(log);
    for (const token of ["a", "b", "c"]) log.lay(token);
    log.lay("b", null);
    log.lay("a");
    assert.deepEqual(await tokens(shelf), ["c", "a"]);
    log.lay("d");
    log.lay("c", null);
    assert.deepEqual(await tokens(shelf), ["a", "d"]);
    assert.deepEqual(await tokens(shelf, "a"), ["d"]);
    assert.deepEqual(
      [await shelf.count(), await shelf.find("c"), await shelf.find("d")],
      [2, undefined, 5n],
    );
  });

  test("reads nothing twice while all of it fits", async () => {
    const log = new MemoryLog();
    const shelf = shelfOn(log);
    for (let index = 0; index < 100; index++) log.lay(`t-${index}`);
    for (let index = 0; index < 100; index += 10) await tokens(shelf, `t-${index}`, 10);
    await shelf.count();
    await shelf.find("nobody");
    assert.equal(log.given, 100);
  });

  test("keeps no more than there is room for, and pages, counts and finds all the same", async () => {
    for (const room of [
      { ...wide, messagesMax: 7 },
      { ...wide, bytesMax: 700 },
    ]) {
      const log = new MemoryLog();
      const shelf = shelfOn(log, room);
      const expected: string[] = [];
      for (let index = 0; index < 100; index++) log.lay(`t-${index}`);
      for (let index = 0; index < 100; index += 3) log.lay(`t-${index}`, null);
      for (let index = 0; index < 100; index += 9) log.lay(`t-${index}`);
      for (let index = 0; index < 100; index++) if (index % 3 > 0) expected.push(`t-${index}`);
      for (let index = 0; index < 100; index += 9) expected.push(`t-${index}`);
      const paged: string[] = [];
      for (;;) {
        const page = await tokens(shelf, paged.at(-1), 10);
        assert.ok(shelf.kept <= room.messagesMax && shelf.keptBytes <= room.bytesMax);
        if (page.length === 0) break;
        paged.push(...page);
      }
      assert.deepEqual(paged, expected);
      assert.equal(await shelf.count(), expected.length);
      assert.equal(await shelf.find("t-3"), undefined);
      assert.equal(await shelf.find("t-98"), 98n);
      const walked: string[] = [];
      for (let from: bigint | undefined = 0n; from !== undefined;) {
        const stretch: { tokens: readonly string[]; to: bigint | undefined } =
          await shelf.stretch(from);
        walked.push(...stretch.tokens);
        from = stretch.to;
      }
      assert.deepEqual(walked, expected);
    }
  });

  test("keeps all of it again when so much has left that it fits", async () => {
    const log = new MemoryLog();
    const shelf = shelfOn(log, { ...wide, messagesMax: 5 });
    for (let index = 0; index < 20; index++) log.lay(`t-${index}`);
    assert.equal(await shelf.count(), 20);
    for (let index = 0; index < 17; index++) log.lay(`t-${index}`, null);
    assert.equal(await shelf.count(), 3);
    log.given = 0;
    assert.deepEqual(await tokens(shelf), ["t-17", "t-18", "t-19"]);
    assert.equal(log.given, 0);
  });

  test("counts once what did not change", async () => {
    const log = new MemoryLog();
    const shelf = shelfOn(log, { ...wide, messagesMax: 5 });
    for (let index = 0; index < 20; index++) log.lay(`t-${index}`);
    await shelf.count();
    log.given = 0;
    assert.equal(await shelf.count(), 20);
    assert.equal(log.given, 0);
  });

  test("passes over what no handle could name, and begins anew with a topic that is new", async () => {
    const log = new MemoryLog();
    const shelf = shelfOn(log);
    for (const token of ["a", "", "no token", "x".repeat(1_000_000)]) log.lay(token);
    assert.deepEqual(await tokens(shelf), ["a"]);
    log.records.length = 0;
    log.next = 0n;
    log.lay("b");
    assert.deepEqual(await tokens(shelf), ["b"]);
    assert.deepEqual([isToken("q-1-2"), isToken("a|b"), isToken("")], [true, false, false]);
  });
});
