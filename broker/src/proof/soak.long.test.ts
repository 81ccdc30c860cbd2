import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Sample } from "./soak.fixture.ts";

const minutes = Number(process.env["WAYBILL_SOAK_MINUTES"] ?? 1 / 3);
/** In ten minutes. What a short run sees goes up and down by more; it is held to what a leak of every message would exceed. */
const heapGrowthBytesMax = 1024 * 1024;
const shortGrowthBytesMax = 4 * 1024 * 1024;
const tenMinutesMs = 600_000;
const fileBytesMax = 64 * 1024 * 1024;

test(`${minutes.toFixed(2)} minutes under load: heap and handles stay flat, the file bounded`, async (context) => {
  const directory = mkdtempSync(join(tmpdir(), "waybill-soak-"));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  const samples = await soak(directory);
  const [before, after] = [samples[0], samples.at(-1)] as [Sample, Sample];
  const slope = heapSlope(samples);
  const inTenMinutes = Math.round(slope * tenMinutesMs);
  context.diagnostic(JSON.stringify({ samples: samples.length, before, after, inTenMinutes }));
  const { handled, consumed, items } = after.seen;
  assert.ok(handled > 0 && consumed > 0 && items > 0);
  const [grown, grownMax] =
    minutes < 5
      ? [slope * (after.at - before.at), shortGrowthBytesMax]
      : [inTenMinutes, heapGrowthBytesMax];
  assert.ok(grown <= grownMax, `the heap grew by ${Math.round(grown)} bytes`);
  assert.ok(
    after.handles <= before.handles + 2,
    `handles: ${before.handles}, then ${after.handles}`,
  );
  assert.ok(after.file <= fileBytesMax, `the files hold ${after.file} bytes`);
});

/** What the process tells of itself, from a third of the time on. */
async function soak(directory: string): Promise<readonly Sample[]> {
  const script = join(import.meta.dirname, "soak.fixture.ts");
  const child = fork(script, [directory, String(minutes * 60_000)]);
  const samples: Sample[] = [];
  child.on("message", (sample) => void samples.push(sample as Sample));
  const [code] = (await once(child, "exit")) as [number | null];
  assert.equal(code, 0, "the soak ended with an error");
  return samples;
}

/** Bytes per millisecond, by the straight line nearest to all samples: a single one goes up and down by as much as is allowed. */
function heapSlope(samples: readonly Sample[]): number {
  const mean = (of: (sample: Sample) => number): number =>
    samples.reduce((sum, each) => sum + of(each), 0) / samples.length;
  const at = mean((each) => each.at);
  const heap = mean((each) => each.heap);
  const covariance = mean((each) => (each.at - at) * (each.heap - heap));
  return covariance / mean((each) => (each.at - at) ** 2);
}
