import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import {
  fakeEnvironment,
  type ModelStep,
  modelChoices,
  modelCommands,
  playModel,
} from "@waybill/testkit";
import { embedded } from "../index.ts";

const choice = fc.nat(modelChoices - 1);
const scripts = fc.array(fc.tuple(fc.nat(modelCommands - 1), choice, choice, choice), {
  maxLength: 60,
  size: "max",
});
/** Time is the model's own, so the disk's is only in the way. */
const parent = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

function play(script: readonly ModelStep[]): Promise<void> {
  const directory = mkdtempSync(join(parent, "waybill-model-"));
  return playModel(
    {
      factory: embedded({ directory, synchronous: "normal" }),
      environment: fakeEnvironment(),
      // Due messages and ended locks are looked for about every second, and found at the next look.
      slackMs: 2_500,
      // A process is dead after ten seconds without a heartbeat; retention looks every 12.5 seconds at the latest.
      slowMs: 15_500,
      dispose: async () => rmSync(directory, { recursive: true, force: true }),
    },
    script,
  );
}

/** Far above what one run takes on a busy machine: a run that hangs ends the test, many runs do not. */
const runMsMax = 1_000;

/**
 * Plays random scripts. WAYBILL_RUNS: how many; WAYBILL_SEED: which, so that a failure repeats, or other runs than those of
 * today; WAYBILL_SHRINK=0: shows the first failing script as it is.
 */
export function embeddedModel(runsDefault: number): void {
  const runs = Number(process.env["WAYBILL_RUNS"] ?? runsDefault);
  const seed = Number(process.env["WAYBILL_SEED"] ?? 20_261_120);
  const timeout = 60_000 + runs * runMsMax;
  const endOnFailure = process.env["WAYBILL_SHRINK"] === "0";
  test(
    `the embedded broker is explained by the model: ${runs} runs, WAYBILL_SEED=${seed}`,
    { timeout },
    () => fc.assert(fc.asyncProperty(scripts, play), { seed, numRuns: runs, endOnFailure }),
  );
}
