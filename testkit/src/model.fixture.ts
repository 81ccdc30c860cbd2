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
      crash: (instance) => broker.crash(instance),
      dispose: async () => {},
    },
    script,
  );
}

/**
 * Plays random scripts. WAYBILL_RUNS: how many; WAYBILL_SEED: which, so that a failure repeats, or other runs than those of
 * today; WAYBILL_SHRINK=0: shows the first failing script as it is.
 */
export function memoryModel(runsDefault: number): void {
  const runs = Number(process.env["WAYBILL_RUNS"] ?? runsDefault);
  const seed = Number(process.env["WAYBILL_SEED"] ?? 20_261_120);
  const endOnFailure = process.env["WAYBILL_SHRINK"] === "0";
  test(`the in-memory broker is explained by the model: ${runs} runs, WAYBILL_SEED=${seed}`, () =>
    fc.assert(fc.asyncProperty(scripts, play), { seed, numRuns: runs, endOnFailure }));
}
