import type { Capabilities, Count, MessageState } from "@waybill/core";
import type { Stage } from "./stage.ts";

/** One thing that every transport must do. */
export interface SuiteCase {
  /** Stable: published tables and `skip` name it. */
  readonly id: string;
  /** A sentence that is true when the case passes. */
  readonly title: string;
  /** Why the case does not apply to a transport that cannot do this; undefined when it applies. */
  readonly notFor?: (capabilities: Capabilities) => string | undefined;
  readonly run: (stage: Stage) => Promise<void>;
}

export const needsStreams = (capabilities: Capabilities): string | undefined =>
  capabilities.streams ? undefined : "has no streams";

export const needsSeek = (capabilities: Capabilities): string | undefined =>
  needsStreams(capabilities) ?? (capabilities.seek ? undefined : "cannot seek");

export const needsOrder = (capabilities: Capabilities): string | undefined =>
  capabilities.order === "queue" ? undefined : "promises no order";

export const needsKeyedOrder = ({ order }: Capabilities): string | undefined =>
  order === "none" ? "promises no order" : undefined;

export const needsPause = (capabilities: Capabilities): string | undefined =>
  capabilities.pause ? undefined : "does not pause an address for all processes";

export const needsRuleActions = (capabilities: Capabilities): string | undefined =>
  capabilities.ruleActions ? undefined : "leaves what rules change to the core";

export const needsForwarding = ({ forwardHopsMax }: Capabilities): string | undefined =>
  forwardHopsMax > 0 ? undefined : "does not forward";

export const needsSessions = (capabilities: Capabilities): string | undefined =>
  capabilities.sessions ? undefined : "has no sessions";

export const needsKeyOrder = ({ keyOrder }: Capabilities): string | undefined =>
  keyOrder === "none" ? "does not order keys across receivers" : undefined;

export const needsSessionState = (capabilities: Capabilities): string | undefined =>
  capabilities.sessions && capabilities.sessionStateBytesMax > 0
    ? undefined
    : "keeps no state of sessions";

export const needsAtomicBatch = (capabilities: Capabilities): string | undefined =>
  capabilities.atomicBatch ? undefined : "does not store a batch as a whole";

export const needsAtomicSettle = (capabilities: Capabilities): string | undefined =>
  capabilities.atomicSettle ? undefined : "does not settle and send in one step";

export const needsDelay =
  (ms: number) =>
  (capabilities: Capabilities): string | undefined =>
    capabilities.delayMsMax >= ms ? undefined : "does not delay by itself";

export const needsDedup =
  (windowMs: number) =>
  (capabilities: Capabilities): string | undefined =>
    capabilities.dedupWindowMs >= windowMs ? undefined : "does not recognise duplicates";

export const needsDeadLetters = (capabilities: Capabilities): string | undefined =>
  capabilities.deadLetters === "transport" ? undefined : "leaves dead letters to the core";

export const needsLedger = (capabilities: Capabilities): string | undefined =>
  capabilities.conservation === "exact" ? undefined : "keeps no count of what became of messages";

export const needsAttemptsInPlace = (capabilities: Capabilities): string | undefined =>
  capabilities.attemptsInPlace ? undefined : "does not count runs in place durably";

export const needsAttempts = (capabilities: Capabilities): string | undefined =>
  capabilities.attemptsPersisted ? undefined : "does not count attempts durably";

export const needsOwners = ({ owners }: Capabilities): string | undefined =>
  owners ? undefined : "does not know who handles a queue";

export const needsFreeRelease = ({ releaseCounts }: Capabilities): string | undefined =>
  releaseCounts ? "counts what was released" : undefined;

export const needsFollowing = ({ follows }: Capabilities): string | undefined =>
  follows ? undefined : "does not follow what was put back";

export const needsLists =
  (...states: readonly MessageState[]) =>
  ({ lists }: Capabilities): string | undefined => {
    const missing = states.filter((state) => !lists.includes(state));
    return missing.length === 0 ? undefined : `does not list what is ${missing.join(" or ")}`;
  };

export const needsCounts =
  (...wanted: readonly Count[]) =>
  ({ counts }: Capabilities): string | undefined => {
    const missing = wanted.filter((count) => !counts.includes(count));
    return missing.length === 0 ? undefined : `does not know ${missing.join(", ")}`;
  };

/** The first reason of several. */
export const needsAll =
  (...needs: readonly NonNullable<SuiteCase["notFor"]>[]): NonNullable<SuiteCase["notFor"]> =>
  (capabilities) => {
    for (const need of needs) {
      const reason = need(capabilities);
      if (reason !== undefined) return reason;
    }
    return undefined;
  };
