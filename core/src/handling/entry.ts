import { WaybillError } from "../errors.ts";
import type { Turn } from "../flow/rate-gate.ts";
import type { Incoming, Joining, Lifetime } from "./message.ts";
import type { Outcome } from "./outcome.ts";
import type { Delivery, Failure } from "../ports/transport.ts";

/** How a run ended; `back`: it did not begin, and the bus closes. */
export type Ending = Outcome | { readonly outcome: "back" } | undefined;

/** What an entry occupies while its handler runs. */
export interface Slot {
  leave(): void;
}

/** A delivery on its way through this process. */
export class Entry implements Lifetime {
  readonly delivery: Delivery;
  /** Delivery attempts and runs in place together. */
  attempt: number;
  failure: Failure | undefined;
  /** Entries of one lane run one after another; undefined for no lane. */
  readonly lane: string | undefined;
  /** The lock is gone: somebody else may have this message, and nothing that is done here counts. */
  lost = false;
  /** Set when it runs. */
  message: Incoming | undefined;
  /** Where messages are handled in batches. Not a field of all others. */
  declare member?: Joining;
  /** Stands in the order of arrival, where messages are handled in batches. */
  declare order?: number;
  /** Where it waits under a rate. Not a field of all others. */
  declare turn?: Turn | undefined;
  /** Among those that are running. */
  place = -1;
  #slot: Slot | undefined;
  #ended: { readonly reason: unknown } | undefined;
  #abort: ((reason: unknown) => void) | undefined;

  constructor(delivery: Delivery, lane: string | undefined) {
    this.delivery = delivery;
    this.attempt = delivery.attempt;
    this.failure = delivery.failure;
    this.lane = lane;
    delivery.onLockLost = () => {
      this.lost = true;
      this.abort(
        new WaybillError(
          "LOCK_LOST",
          "The lock of this message was lost, somebody else may be handling it. Stop without effects.",
        ),
      );
    };
  }

  get over(): boolean {
    return this.#ended !== undefined;
  }

  /** Takes a place among the handlers that run. */
  begin(slot: Slot): void {
    this.#slot = slot;
  }

  /** Leaves that place; a second time does nothing. */
  handled(): void {
    const slot = this.#slot;
    this.#slot = undefined;
    slot?.leave();
  }

  onSignal(abort: (reason: unknown) => void): void {
    const earlier = this.#abort;
    this.#abort =
      earlier === undefined
        ? abort
        : (reason) => {
            earlier(reason);
            abort(reason);
          };
    if (this.#ended !== undefined) abort(this.#ended.reason);
  }

  abort(reason: unknown): void {
    if (this.#ended !== undefined) return;
    this.#ended = { reason };
    this.#abort?.(reason);
  }
}
