import { WaybillError } from "../errors.ts";

/** What a handler decided about its message. Returning nothing means complete. */
export type Outcome =
  | { readonly outcome: "complete" }
  | { readonly outcome: "retry"; readonly afterMs: number | undefined; readonly reason: string }
  | { readonly outcome: "deadLetter"; readonly reason: string }
  | { readonly outcome: "defer" };

const completed: Outcome = Object.freeze({ outcome: "complete" });
const deferred: Outcome = Object.freeze({ outcome: "defer" });

/** Done: what the handler sent leaves, the message is gone. */
export function complete(): Outcome {
  return completed;
}

const afterMsMax = 365 * 86_400_000;

/** Try again later, after `afterMs` (at most a year) or as the retry policy says. Nothing the handler sent leaves. Counts as an attempt. */
export function retry(
  options: { readonly afterMs?: number; readonly reason?: string } = {},
): Outcome {
  const { afterMs = 0 } = options;
  if (!(afterMs >= 0 && afterMs <= afterMsMax)) {
    throw new WaybillError(
      "OPTION_INVALID",
      `retry({ afterMs }) is ${String(afterMs)}; give milliseconds from 0 to ${afterMsMax}.`,
    );
  }
  return {
    outcome: "retry",
    afterMs: options.afterMs,
    reason: options.reason ?? "The handler asked for a retry.",
  };
}

/** Set the message aside among the dead letters, to be looked at, replayed or discarded by a person. Nothing the handler sent leaves. */
export function deadLetter(reason: string): Outcome {
  return { outcome: "deadLetter", reason };
}

/** Set the message aside on purpose, until `bus.deferred.resume` brings it back. What the handler sent does not leave. */
export function defer(): Outcome {
  return deferred;
}

const outcomes: ReadonlySet<unknown> = new Set<Outcome["outcome"]>([
  "complete",
  "retry",
  "deadLetter",
  "defer",
]);

/** Reads what a handler returned. Anything without an `outcome` means complete; one that is unknown is an error, not a guess. */
export function toOutcome(result: unknown): Outcome {
  if (typeof result !== "object" || result === null || !("outcome" in result)) return completed;
  if (outcomes.has(result.outcome)) return result as Outcome;
  throw new TypeError(
    `The handler returned the outcome ${String(result.outcome)}; return complete(), retry(), deadLetter(), defer() or nothing.`,
  );
}
