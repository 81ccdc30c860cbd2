import { describe, test } from "node:test";
import { deciderCases } from "./store/deciders.ts";
import { eventReplayCases } from "./store/event-replay.ts";
import { eventRowCases } from "./store/event-rows.ts";
import { failureStoreCases } from "./store/failures.ts";
import { outboxCases } from "./store/outbox.ts";
import { sagaRowCases } from "./store/saga-rows.ts";
import { sagaCases } from "./store/sagas.ts";
import { scheduleRowCases } from "./store/schedule-rows.ts";
import { scheduleCases } from "./store/schedules.ts";
import { type StoreCase, StoreStage, type StoreSubject } from "./store/stage.ts";
import { transactionCases } from "./store/transactions.ts";
import { viewRowCases } from "./store/view-rows.ts";
import { viewCases } from "./store/views.ts";

export interface StoreSuiteOptions {
  /** A database of its own for each case. */
  readonly create: () => StoreSubject | Promise<StoreSubject>;
}

export const storeCases: readonly StoreCase[] = [
  ...transactionCases,
  ...outboxCases,
  ...failureStoreCases,
  ...sagaRowCases,
  ...sagaCases,
  ...viewRowCases,
  ...viewCases,
  ...scheduleRowCases,
  ...scheduleCases,
  ...eventRowCases,
  ...eventReplayCases,
  ...deciderCases,
];

/**
 * Proves a store: transactions, inbox, outbox, sagas, views, schedules, and whole applications on it whose processes, brokers and databases fail. On real time.
 *
 * @example
 * storeSuite("sqlite", { create: subject });
 */
export function storeSuite(name: string, { create }: StoreSuiteOptions): void {
  describe(`${name}: stores`, () => {
    for (const { id, title, notFor, run } of storeCases)
      test(`${id}: ${title}`, async (context) => {
        const subject = await create();
        const stage = new StoreStage(subject);
        try {
          const reason = notFor?.(subject);
          if (reason !== undefined) return context.skip(reason);
          await run(stage);
        } finally {
          await stage.close();
        }
      });
  });
}
