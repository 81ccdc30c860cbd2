import type { BatchContext, Context } from "../context.ts";
import type { Outcome } from "../handling/outcome.ts";

/** When a batch is full. It closes at whichever comes first. */
export interface BatchBounds {
  /** Most messages of one batch, 1 to 5,000. */
  readonly size: number;
  /** How long the oldest message waits for others, 0 to 60,000 ms. What comes later never prolongs it. */
  readonly maxAgeMs: number;
  /** Most bytes of body of one batch, up to 16 MiB; a larger message is a batch of its own. Default 4 MiB. */
  readonly bytesMax?: number;
}

/** One message of a batch. */
export interface BatchItem<Value, ItemContext = Context> {
  readonly value: Value;
  /** The message's own: its header, attempt and position; what is sent by it leaves with this message, if this message completes. */
  readonly context: ItemContext;
  /**
   * Says what becomes of this message, whatever the handler does with the others; the last word counts. Without it, the message is complete
   * when the handler returns and has failed when it throws. Error: CLOSED when the handler has ended.
   */
  mark(outcome: Outcome): void;
}

/**
 * Handles many messages at once. Returns nothing: single messages are marked. What it sends by `context` leaves with the first
 * of its messages that completes, before the others are complete; when it throws, nothing leaves but what marked messages sent themselves.
 */
export type BatchHandler<Value, Declared, ItemContext = Context<Declared>> = (
  items: readonly BatchItem<Value, ItemContext>[],
  context: BatchContext<Declared>,
) => void | Promise<void>;
