import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import type { TestContext } from "node:test";
import { type Timer, systemEnvironment } from "@waybill/core";
import { type Handles, sum } from "./held.ts";

/** What a process under load holds at one moment, garbage collected. */
export interface HeapSample {
  /** Since the start, in milliseconds. */
  readonly at: number;
  /** Bytes. */
  readonly heap: number;
}

/** What a process of `soak` tells its parent: at rest before the load and after it, and again and again in the last two thirds of it. */
export type SoakReport<Sample extends HeapSample> =
  | { readonly rest: Handles }
  | { readonly sample: Sample };

export interface Soaked<Sample extends HeapSample> {
  readonly samples: readonly Sample[];
  readonly first: Sample;
  readonly last: Sample;
  readonly before: Handles;
  readonly after: Handles;
}

/** In ten minutes. What a short run sees goes up and down by more; it is held to what a leak of every message would exceed. */
const heapGrowthBytesMax = 1024 * 1024;
const shortGrowthBytesMax = 4 * 1024 * 1024;
const shortMs = 300_000;
const tenMinutesMs = 600_000;
const handlesMore = 2;
/** A socket that nobody closes keeps a process from ending. */
const endingMsMax = 30_000;

/** Runs a script that reports as `SoakReport` says, and ends by itself. */
export async function soak<Sample extends HeapSample>(
  script: string,
  args: readonly string[],
): Promise<Soaked<Sample>> {
  const child = fork(script, args);
  const samples: Sample[] = [];
  const rests: Handles[] = [];
  const { timers } = systemEnvironment;
  let ending: Timer | undefined;
  child.on("message", (report: SoakReport<Sample>) => {
    if ("sample" in report) return void samples.push(report.sample);
    rests.push(report.rest);
    if (rests.length === 2) ending = timers.set(() => child.kill("SIGKILL"), endingMsMax);
  });
  const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
  ending?.cancel();
  assert.equal(
    code,
    0,
    `${signal === "SIGKILL" ? `it did not end within ${endingMsMax} ms` : "it ended with an error"}; at rest it held ${JSON.stringify(rests)}`,
  );
  const [before, after] = rests;
  const [first, last] = [samples[0], samples.at(-1)];
  assert.ok(before !== undefined && after !== undefined, "it was not at rest twice");
  assert.ok(first !== undefined && last !== undefined && last.at > first.at, "too few samples");
  return { samples, first, last, before, after };
}

/** Fails when the process held more after a while than before. */
export function assertFlat<Sample extends HeapSample>(
  { samples, first, last, before, after }: Soaked<Sample>,
  context: TestContext,
): void {
  const slope = heapSlope(samples);
  const inTenMinutes = Math.round(slope * tenMinutesMs);
  const told = { samples: samples.length, first, last, inTenMinutes, before, after };
  context.diagnostic(JSON.stringify(told));
  const [grown, grownMax] =
    last.at < shortMs
      ? [slope * (last.at - first.at), shortGrowthBytesMax]
      : [inTenMinutes, heapGrowthBytesMax];
  assert.ok(grown <= grownMax, `the heap grew by ${Math.round(grown)} bytes`);
  assert.ok(
    sum(after) <= sum(before) + handlesMore,
    `handles at rest: ${JSON.stringify(before)}, then ${JSON.stringify(after)}`,
  );
}

/** Bytes per millisecond, by the straight line nearest to all samples: a single one goes up and down by as much as is allowed. */
function heapSlope(samples: readonly HeapSample[]): number {
  const mean = (of: (sample: HeapSample) => number): number =>
    samples.reduce((total, each) => total + of(each), 0) / samples.length;
  const at = mean((each) => each.at);
  const heap = mean((each) => each.heap);
  const covariance = mean((each) => (each.at - at) * (each.heap - heap));
  return covariance / mean((each) => (each.at - at) ** 2);
}
