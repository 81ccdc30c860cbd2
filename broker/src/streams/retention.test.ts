import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import type { StreamSpec, Transport } from "@waybill/core";
import { type FakeEnvironment, fakeEnvironment } from "@waybill/testkit";
import { folder, open, toStream, topology } from "../fixture.test.support.ts";
import { pragma } from "../storage/pragma.ts";
import { trimBytesMax, trimItemsMax } from "./retention.ts";

interface Setting {
  readonly file: string;
  readonly environment: FakeEnvironment;
  readonly transport: Transport;
  /** A process that only writes. */
  readonly writer: Transport;
  /** The file, as a third process reads it. */
  readonly db: DatabaseSync;
}

async function withStreams(
  context: TestContext,
  ...streams: readonly StreamSpec[]
): Promise<Setting> {
  const directory = folder(context);
  const file = join(directory, "waybill.db");
  const environment = fakeEnvironment();
  const transport = await open(context, directory, { environment });
  // Its time stands still, so that one process alone removes.
  const writer = await open(context, directory, { environment: fakeEnvironment() });
  await transport.declare(topology({ streams }));
  const db = new DatabaseSync(file, { readOnly: true });
  context.after(() => db.close());
  return { file, environment, transport, writer, db };
}

async function append(to: Transport, stream: string, count: number): Promise<void> {
  for (let sent = 0; sent < count; sent += 1_000) {
    const keys = Array.from({ length: Math.min(1_000, count - sent) }, (_, index) => `k${index}`);
    await to.send(keys.map((key) => toStream(stream, "x".repeat(100), key)));
  }
}

interface Trimmed {
  readonly items: number;
  readonly bytes: number;
}

/** What retention has removed of a stream so far, and the bytes that it has kept. */
function trimmed(db: DatabaseSync, stream: string): Trimmed {
  return db
    .prepare(
      "select sum(p.first_offset) as items, sum(p.bytes) as bytes from stream s join stream_partition p on p.stream = s.id where s.name = ?",
    )
    .get(stream) as unknown as Trimmed;
}

/** Less than retention waits between two steps. */
const tickMs = 10;

/** Moves time on until something holds. */
async function until({ environment }: Setting, holds: () => boolean): Promise<void> {
  await environment.advance(7_000);
  for (let waited = 0; !holds(); waited += tickMs) {
    assert.ok(waited < 30_000, "waited in vain");
    await environment.advance(tickMs);
  }
}

/** Runs a large deletion, an append of another process in each tick of it: what each step removed, and the appends that came between. */
async function removal(
  setting: Setting,
  stream: string,
  count: number,
): Promise<{ readonly steps: readonly Trimmed[]; readonly appends: number }> {
  const { environment, writer, db } = setting;
  const steps: Trimmed[] = [];
  let appends = 0;
  let before = { items: 0, bytes: trimmed(db, stream).bytes };
  const look = (): boolean => {
    const now = trimmed(db, stream);
    if (now.items > before.items)
      steps.push({ items: now.items - before.items, bytes: before.bytes - now.bytes });
    before = now;
    return now.items > 0;
  };
  await until(setting, look);
  while (before.items < count) {
    await writer.send([toStream("marks", "", "key")]);
    look();
    if (before.items < count) appends += 1;
    await environment.advance(tickMs);
    look();
    assert.ok(appends < 10_000, `${before.items} of ${count} items are gone`);
  }
  return { steps, appends };
}

const marks: StreamSpec = { name: "marks", partitions: 1, retention: {} };

test("a large deletion takes a bounded step per transaction, and a writer commits between the steps", async (context) => {
  const old: StreamSpec = { name: "old", partitions: 7, retention: { ageMs: 1_000 } };
  const setting = await withStreams(context, old, marks);
  const count = 20_000;
  await append(setting.transport, "old", count);
  const { steps, appends } = await removal(setting, "old", count);
  for (const { items } of steps) assert.ok(items <= trimItemsMax, `${items} items in one step`);
  assert.ok(appends >= steps.length - 1, `${appends} appends between ${steps.length} steps`);
});

test("so do large bodies: their bytes bound a step", async (context) => {
  const old: StreamSpec = { name: "old", partitions: 2, retention: { bytes: 0 } };
  const setting = await withStreams(context, old, marks);
  const bytes = 1024 * 1024;
  for (let sent = 0; sent < 40; sent += 4)
    await setting.transport.send(
      Array.from({ length: 4 }, (_, index) => toStream("old", "x".repeat(bytes), `${index}`)),
    );
  const { steps } = await removal(setting, "old", 40);
  for (const step of steps)
    assert.ok(step.bytes <= trimBytesMax, `${step.bytes} bytes in one step`);
});

test("a body above the bound is a step of its own, however many partitions have one", async (context) => {
  const old: StreamSpec = { name: "old", partitions: 6, retention: { bytes: 0 } };
  const setting = await withStreams(context, old, marks);
  const body = "x".repeat(trimBytesMax + 1);
  for (let sent = 0; sent < 12; sent++)
    await setting.transport.send([toStream("old", body, `${sent}`)]);
  const { steps } = await removal(setting, "old", 12);
  assert.ok(steps.every(({ items }) => items === 1));
});

test("a stream that grows faster than a step removes does not keep the others from their turn", async (context) => {
  const busy = (name: string): StreamSpec => ({ name, partitions: 1, retention: { bytes: 0 } });
  const setting = await withStreams(context, busy("one"), busy("two"), busy("three"), marks);
  const { transport, db } = setting;
  await append(transport, "three", 1_000);
  await append(transport, "one", 10_000);
  await append(transport, "two", 10_000);
  await until(setting, () => trimmed(db, "three").items > 0);
  assert.ok(trimmed(db, "one").items < 10_000 && trimmed(db, "two").items < 10_000);
});

test("retention of 200,000 expired items ends, and their room is used again", async (context) => {
  const old: StreamSpec = { name: "old", partitions: 4, retention: { ageMs: 60_000 } };
  const { environment, transport, db, file } = await withStreams(context, old);
  const count = 200_000;
  await append(transport, "old", count);
  const pages = Number(pragma(db, "page_count"));
  await environment.advance(60_000);
  await environment.advance(30_000);
  assert.equal(trimmed(db, "old").items, count);
  const left = db.prepare("select count(*) as count from stream_item").get()?.["count"];
  assert.equal(left, 0);
  await append(transport, "old", count / 4);
  const again = Number(pragma(db, "page_count"));
  assert.ok(again <= pages + 100, `${pages} pages before, ${again} after`);
  const logBytes = statSync(`${file}-wal`).size;
  assert.ok(logBytes < 64 * 1024 * 1024, `the log has ${logBytes} bytes`);
});
