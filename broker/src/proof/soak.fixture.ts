/**
 * The process of the soak: `soak.fixture.ts <directory> <milliseconds>`. Two buses on one file with every kind of traffic; it tells its parent
 * what it holds, again and again. A process of its own, because a test runner keeps what it sees of every timer and promise.
 */
import assert from "node:assert/strict";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { command, feed, query, type Schema, stream } from "@waybill/contracts";
import { connect, service } from "@waybill/core";
import { type HeapSample, Held, type SoakReport } from "@waybill/testkit";
import { embedded } from "../index.ts";

const [directory = "", duration = "0"] = process.argv.slice(2);
const durationMs = Number(duration);
const samplesMax = 60;
/** Ended calls whose ids a bus remembers, so many for each side: what it keeps of them is complete only after that. */
const callsRemembered = 10_000;
const lanes = 50;

export interface Sample extends HeapSample {
  /** Bytes of all files together. */
  readonly file: number;
  readonly seen: typeof seen;
}

const seen = { handled: 0, consumed: 0, answered: 0, items: 0 };
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
  retention: { bytes: 64 * 1024 },
});

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
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
const held = new Held();
const transport = embedded({ directory, synchronous: "normal" });
const options = { transport, environment: held.environment };
await using serving = await connect({ ...options, services: [worker] });
await using bus = await connect({ ...options, services: [caller] });

await turn(0);
report({ rest: await held.atRest() });
await fill();
const began = performance.now();
const warmMs = durationMs / 3;
for (let n = 0, taken = 0; taken <= samplesMax; n += 20) {
  await turn(n);
  const at = performance.now() - began;
  if (at < warmMs + (taken * (durationMs - warmMs)) / samplesMax) continue;
  taken += 1;
  report({ sample: sample(at) });
}
report({ rest: await held.atRest() });
assert.equal((await serving.health()).status, "up");

/** Ends as many calls as are remembered. */
async function fill(): Promise<void> {
  const lane = async (): Promise<void> => {
    for (let call = 0; call < callsRemembered / lanes; call++) {
      await bus.ask(Double, { n: call });
      for await (const _item of bus.open(Count, { n: 1 })) seen.items += 1;
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

async function turn(n: number): Promise<void> {
  await Promise.all(Array.from({ length: 20 }, (_, index) => bus.send(Work, { n: n + index })));
  assert.equal((await bus.ask(Double, { n })).n, 2 * n);
  seen.answered += 1;
  for await (const _item of bus.open(Count, { n: 5 })) seen.items += 1;
  await wait(20);
}

function sample(at: number): Sample {
  collect();
  collect();
  const bytes = readdirSync(directory).map((name) => statSync(join(directory, name)).size);
  return {
    at,
    heap: process.memoryUsage().heapUsed,
    file: bytes.reduce((sum, each) => sum + each, 0),
    seen,
  };
}

function report(what: SoakReport<Sample>): void {
  process.send?.(what);
}
