import { createHash } from "node:crypto";
import type { Card } from "../contracts/ordering.ts";
import type { Settings } from "../settings.ts";

export interface Charge {
  readonly orderId: string;
  readonly card: Card;
  readonly attempt: number;
}

/** Pending: the bank took the request and never says what became of it. */
export type Verdict = "charged" | "declined" | "pending";

/**
 * The bank outside, as unreliable as banks are. Who is unlucky follows from the seed and the order, so that a run can be repeated.
 * A real one would be given the order's id as its idempotency key.
 */
export function askBank({ orderId, card, attempt }: Charge, settings: Settings): Verdict {
  if (draw(settings.seed, orderId, `line ${attempt}`) < settings.errors) {
    throw Object.assign(new Error("The bank hung up."), { code: "ECONNRESET" });
  }
  switch (card) {
    case "good":
    case "poison":
      return draw(settings.seed, orderId, "verdict") < settings.declines ? "declined" : "charged";
    case "declined":
      return "declined";
    case "silent":
      return "pending";
  }
}

/** Uniform in [0, 1), always the same for the same words. */
function draw(...words: readonly (string | number)[]): number {
  return createHash("sha256").update(words.join("/")).digest().readUInt32BE() / 2 ** 32;
}
