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

/** Try again later, after `afterMs` or as the retry policy says. Nothing the handler sent leaves. Counts as an attempt. */
export function retry(options: { readonly afterMs?: number; readonly reason?: string } = {}): Outcome {
  return { outcome: "retry", afterMs: options.afterMs, reason: options.reason ?? "The handler asked for a retry." };
}

/** Set the message aside among the dead letters, to be looked at, replayed or discarded by a person. Nothing the handler sent leaves. */
export function deadLetter(reason: string): Outcome {
  return { outcome: "deadLetter", reason };
}

/** Set the message aside on purpose, until `bus.deferred.resume` brings it back. What the handler sent does not leave. */
export function defer(): Outcome {
  return deferred;
}
