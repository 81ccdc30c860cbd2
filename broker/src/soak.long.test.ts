import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { command, feed, query, type Schema, stream } from "@waybill/contracts";
import { connect, service } from "@waybill/core";
import { embedded } from "./index.ts";

const minutes = Number(process.env["WAYBILL_SOAK_MINUTES"] ?? 1 / 3);
const durationMs = minutes * 60_000;
/** In ten minutes; a short run is given the same, because what is made once weighs more in it. */
const heapGrowthBytesMax =
  1024 * 1024 * Math.max(1, minutes / 10) + (minutes < 5 ? 3 * 1024 * 1024 : 0);
const fileBytesMax = 256 * 1024 * 1024;

const anything: Schema<{ readonly n: number }> = {
  "~standard": {
    version: 1,
    vendor: "soak",
    validate: (value) => ({ value: value as { n: number } }),
  },
};
const Work = command("soak.work", { input: anything });
const Double = query("soak.double", { input: anything, output: anything });
const Count = feed("soak.count", { input: anything, item: anything });
const Log = stream("soak.log", {
  item: anything,
  key: ({ n }) => `k${n % 16}`,
  partitions: 4,
  retention: { bytes: 1024 * 1024 },
});

interface Sample {
  readonly heap: number;
  readonly handles: number;
  readonly file: number;
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function sample(directory: string): Sample {
  collect();
  collect();
  const bytes = readdirSync(directory).map((name) => statSync(join(directory, name)).size);
  return {
    heap: process.memoryUsage().heapUsed,
    handles: process.getActiveResourcesInfo().filter((name) => name !== "Immediate").length,
    file: bytes.reduce((sum, each) => sum + each, 0),
  };
}

test(`${minutes.toFixed(2)} minutes under load: heap and handles stay flat, the file bounded`, async (context) => {
  const directory = mkdtempSync(join(tmpdir(), "waybill-soak-"));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  const seen = { handled: 0, consumed: 0, answered: 0, items: 0 };
  const worker = service("worker", { appends: [Log] })
    .handle(Work, async (value, handling) => {
      seen.handled += 1;
      await handling.append(Log, value);
    })
    .answer(Double, ({ n }) => ({ n: n * 2 }))
    .serve(Count, async function* ({ n }) {
      for (let item = 0; item < n; item++) yield { n: item };
    })
    .consume(Log, () => void (seen.consumed += 1));
  const caller = service("caller", { sends: [Work], asks: [Double], opens: [Count] });
  const options = { transport: embedded({ directory, synchronous: "normal" as const }) };
  await using serving = await connect({ ...options, services: [worker] });
  await using bus = await connect({ ...options, services: [caller] });
  const turn = async (n: number): Promise<void> => {
    await Promise.all(Array.from({ length: 20 }, (_, index) => bus.send(Work, { n: n + index })));
    assert.equal((await bus.ask(Double, { n })).n, 2 * n);
    seen.answered += 1;
    for await (const _item of bus.open(Count, { n: 5 })) seen.items += 1;
    await wait(20);
  };
  const end = performance.now() + durationMs;
  const warm = performance.now() + durationMs / 3;
  let n = 0;
  while (performance.now() < warm) await turn((n += 20));
  const before = sample(directory);
  while (performance.now() < end) await turn((n += 20));
  await wait(1_000);
  const after = sample(directory);
  context.diagnostic(JSON.stringify({ ...seen, before, after }));
  assert.ok(seen.handled > 0 && seen.consumed > 0 && seen.items > 0);
  assert.equal((await serving.health()).status, "up");
  assert.ok(
    after.heap - before.heap <= heapGrowthBytesMax,
    `the heap grew by ${after.heap - before.heap} bytes`,
  );
  assert.ok(
    after.handles <= before.handles + 2,
    `handles: ${before.handles}, then ${after.handles}`,
  );
  assert.ok(after.file <= fileBytesMax, `the files hold ${after.file} bytes`);
});
