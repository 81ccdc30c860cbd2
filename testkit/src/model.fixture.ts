import { test } from "node:test";
import * as fc from "fast-check";
import { memory } from "@waybill/core";
import { fakeEnvironment } from "./environment.ts";
import { type ModelStep, modelChoices, modelCommands, playModel } from "./model/play.ts";

const choice = fc.nat(modelChoices - 1);
const scripts = fc.array(fc.tuple(fc.nat(modelCommands - 1), choice, choice, choice), {
  maxLength: 60,
  size: "max",
});

function play(script: readonly ModelStep[]): Promise<void> {
  const broker = memory();
  return playModel(
    {
      factory: broker,
      environment: fakeEnvironment(),
      slackMs: 5,
      slowMs: 5_000,
      crash: (instance) => broker.crash(instance),
      dispose: async () => {},
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
export function memoryModel(runsDefault: number): void {
  const runs = Number(process.env["WAYBILL_RUNS"] ?? runsDefault);
  const seed = Number(process.env["WAYBILL_SEED"] ?? 20_261_120);
  const timeout = 60_000 + runs * runMsMax;
  const endOnFailure = process.env["WAYBILL_SHRINK"] === "0";
  test(
    `the in-memory broker is explained by the model: ${runs} runs, WAYBILL_SEED=${seed}`,
    { timeout },
    () => fc.assert(fc.asyncProperty(scripts, play), { seed, numRuns: runs, endOnFailure }),
  );
}
