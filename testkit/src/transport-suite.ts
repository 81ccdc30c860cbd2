import { after, before, describe, test } from "node:test";
import type { Capabilities } from "@waybill/core";
import { type CaseResult, writeResults } from "./results.ts";
import { asideCases } from "./suite/aside.ts";
import type { SuiteCase } from "./suite/case.ts";
import { closingCases } from "./suite/closing.ts";
import { declaringCases } from "./suite/declaring.ts";
import { deferCases } from "./suite/deferring.ts";
import { duplicateCases } from "./suite/duplicates.ts";
import { deadLetterForwardingCases } from "./suite/forwarded-dead-letters.ts";
import { expiryCases } from "./suite/expiry.ts";
import { forwardingRuleCases } from "./suite/forwarding-rules.ts";
import { forwardingCases } from "./suite/forwarding.ts";
import { groupCases } from "./suite/groups.ts";
import { inspectionCases } from "./suite/inspection.ts";
import { ledgerKeyCases } from "./suite/ledger-keys.ts";
import { ledgerCases } from "./suite/ledger.ts";
import { lockCases } from "./suite/locks.ts";
import { pausingCases } from "./suite/pausing.ts";
import { queueCases } from "./suite/queues.ts";
import { receiverCases } from "./suite/receivers.ts";
import { removingCases } from "./suite/removing.ts";
import { ruleActionCases } from "./suite/rule-actions.ts";
import { ruleCases } from "./suite/rules.ts";
import { runsInPlaceCases } from "./suite/runs-in-place.ts";
import { scheduleCases } from "./suite/schedule.ts";
import { seekCases } from "./suite/seeking.ts";
import { sessionCases } from "./suite/sessions.ts";
import { sessionEndCases } from "./suite/session-ends.ts";
import { sessionStateCases } from "./suite/session-state.ts";
import { settlingCases } from "./suite/settling.ts";
import { Stage, type SuiteSubject } from "./suite/stage.ts";
import { streamCases } from "./suite/streams.ts";
import { topicCases } from "./suite/topics.ts";
import { verifyingCases } from "./suite/verifying.ts";

export interface SuiteOptions {
  /** A broker of its own for each case, or a new corner of a shared one: names do not repeat between cases. */
  readonly create: () => SuiteSubject | Promise<SuiteSubject>;
  /** Cases that this transport cannot pass, by id, each with the reason that the table shows. */
  readonly skip?: Readonly<Record<string, string>>;
  /** Cases that run at the same time; more than 1 only where each has a broker of its own. Default 1. */
  readonly concurrency?: number;
  /** Whether the run counts for the published table. Default true. */
  readonly publish?: boolean;
}

/** What every transport must do, in the order of the table. */
export const transportCases: readonly SuiteCase[] = [
  ...queueCases,
  ...receiverCases,
  ...settlingCases,
  ...lockCases,
  ...asideCases,
  ...deferCases,
  ...scheduleCases,
  ...expiryCases,
  ...duplicateCases,
  ...sessionCases,
  ...sessionStateCases,
  ...sessionEndCases,
  ...topicCases,
  ...ruleCases,
  ...ruleActionCases,
  ...streamCases,
  ...runsInPlaceCases,
  ...groupCases,
  ...pausingCases,
  ...forwardingCases,
  ...forwardingRuleCases,
  ...deadLetterForwardingCases,
  ...seekCases,
  ...declaringCases,
  ...verifyingCases,
  ...inspectionCases,
  ...removingCases,
  ...ledgerCases,
  ...ledgerKeyCases,
  ...closingCases,
];

/**
 * Proves a transport, driven by its declared capabilities: a case that does not apply is skipped with its reason.
 * Registers one node:test suite; with WAYBILL_SUITE_RESULTS set it leaves its results there as JSON.
 *
 * @example
 * transportSuite("memory", { create: () => ({ factory: memory(), dispose: async () => {} }) });
 */
export function transportSuite(name: string, options: SuiteOptions): void {
  assertKnown(options.skip ?? {});
  describe(name, { concurrency: options.concurrency ?? 1 }, () => {
    let capabilities: Capabilities | undefined;
    const results: CaseResult[] = [];
    before(async () => {
      const stage = new Stage(await options.create());
      capabilities = (await stage.open()).capabilities;
      await stage.close();
    });
    after(() => {
      if (capabilities === undefined || options.publish === false) return;
      const cases = transportCases.flatMap(({ id }) =>
        results.filter((result) => result.id === id),
      );
      writeResults({ transport: name, capabilities, cases });
    });
    for (const suiteCase of transportCases) {
      const { id, title } = suiteCase;
      test(`${id}: ${title}`, async (context) => {
        const note = (outcome: CaseResult["outcome"], reason = ""): void =>
          void results.push({ id, title, outcome, reason });
        const reason =
          options.skip?.[id] ??
          (capabilities === undefined ? "could not be opened" : suiteCase.notFor?.(capabilities));
        if (reason !== undefined) {
          note("skipped", reason);
          return context.skip(reason);
        }
        try {
          await runCase(suiteCase, await options.create());
          note("passed");
        } catch (error) {
          note("failed", error instanceof Error ? error.message : String(error));
          throw error;
        }
      });
    }
  });
}

async function runCase(suiteCase: SuiteCase, subject: SuiteSubject): Promise<void> {
  const stage = new Stage(subject);
  try {
    await suiteCase.run(stage);
    await stage.audit();
  } finally {
    await stage.close();
  }
}

/** A skip of a case that does not exist would hide that the case was renamed. */
function assertKnown(skip: Readonly<Record<string, string>>): void {
  const known = new Set(transportCases.map(({ id }) => id));
  const unknown = Object.keys(skip).filter((id) => !known.has(id));
  if (unknown.length === 0) return;
  throw new RangeError(
    `transportSuite skips ${unknown.join(", ")}, and there is no such case. Correct the ids: see transportCases.`,
  );
}
