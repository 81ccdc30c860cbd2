import {
  type Delivery,
  type Envelope,
  type Failure,
  PassedDelivery,
  type Settled,
  type Settlement,
} from "@waybill/core";
import type { Dice } from "./dice.ts";
import { doubled } from "./send.ts";

/** A delivery whose settling may go wrong. */
export class FaultyDelivery extends PassedDelivery {
  readonly #dice: Dice;
  readonly #ofStream: boolean;

  constructor(inner: Delivery, dice: Dice, ofStream: boolean) {
    super(inner);
    this.#dice = dice;
    this.#ofStream = ofStream;
  }

  override get envelope(): Envelope {
    return this.inner.envelope;
  }

  override get onLockLost(): (() => void) | undefined {
    return this.inner.onLockLost;
  }

  override set onLockLost(listener: (() => void) | undefined) {
    this.inner.onLockLost = listener;
  }

  override async settle(settlement: Settlement): Promise<Settled> {
    if (settlement.kind !== "complete") return this.inner.settle(settlement);
    if (this.#dice.strikes("dropSettlement")) {
      const back = await this.inner.settle(this.#comesBack());
      return back === "lockLost" ? back : "unknown";
    }
    const { send } = settlement;
    const answer = await this.inner.settle(
      send === undefined ? settlement : { ...settlement, send: doubled(send, this.#dice) },
    );
    return this.#dice.strikes("loseAnswer") ? "unknown" : answer;
  }

  /** What the broker sees in place of the lost completion: the attempt counts, for its handler ran. */
  #comesBack(): Settlement {
    if (this.#ofStream) return { kind: "release" };
    return { kind: "retry", delayMs: 0, failure: this.inner.failure ?? lostFailure(this.inner) };
  }
}

function lostFailure({ attempt, enqueuedAt }: Delivery): Failure {
  return {
    reason: "TRANSPORT_FAILED",
    message: "withFaults lost the settlement on its way to the broker.",
    service: "",
    handler: "",
    attempts: attempt,
    firstFailedAt: enqueuedAt,
    lastFailedAt: enqueuedAt,
  };
}
