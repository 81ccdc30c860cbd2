import { after, describe, test } from "node:test";
import type { FailureCase } from "./failures/case.ts";
import { batchFailures } from "./failures/batches.ts";
import { callFailures } from "./failures/calls.ts";
import { handlerFailures } from "./failures/handlers.ts";
import { messageFailures } from "./failures/messages.ts";
import { orderFailures } from "./failures/order.ts";
import { poisonInPlaceFailures } from "./failures/poison-in-place.ts";
import { processFailures } from "./failures/processes.ts";
import { FailureStage } from "./failures/stage.ts";
import { type CaseResult, type FailureResults, writeFailureResults } from "./results.ts";
import type { SuiteSubject } from "./suite/stage.ts";

export interface FailureSuiteOptions {
  /** A broker of its own for each case, or a new corner of a shared one: names do not repeat between cases. */
  readonly create: () => SuiteSubject | Promise<SuiteSubject>;
  /** Cases that run at the same time: most of what they take is waiting for locks to run out. Default 1. */
  readonly concurrency?: number;
}

/** What happens on failure, in the order of the table. */
export const failureCases: readonly FailureCase[] = [
  ...handlerFailures,
  ...orderFailures,
  ...batchFailures,
  ...messageFailures,
  ...processFailures,
  ...poisonInPlaceFailures,
  ...callFailures,
];

/**
 * Proves the failure table on one transport, through the whole of `connect()`: a test for every cell.
 * With WAYBILL_SUITE_RESULTS set it leaves its results there as JSON.
 */
export function failureSuite(name: string, options: FailureSuiteOptions): void {
  const { concurrency = 1 } = options;
  describe(`${name}: what happens on failure`, { concurrency }, () => {
    const results: FailureResults["cases"][number][] = [];
    after(() => {
      const cases = failureCases.flatMap(({ id }) => results.filter((each) => each.id === id));
      writeFailureResults({ transport: name, cases });
    });
    for (const { id, what, then, notFor, run } of failureCases) {
      test(`${id}: ${what}`, async (context) => {
        const note = (outcome: CaseResult["outcome"], reason = ""): void =>
          void results.push({ id, title: what, then, outcome, reason });
        const stage = new FailureStage(await options.create());
        try {
          const reason = notFor?.((await stage.stage.open()).capabilities);
          if (reason !== undefined) {
            note("skipped", reason);
            return context.skip(reason);
          }
          await run(stage);
          note("passed");
        } catch (error) {
          note("failed", error instanceof Error ? error.message : String(error));
          throw error;
        } finally {
          await stage.close();
        }
      });
    }
  });
}
