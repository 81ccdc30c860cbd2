import type { Failure, Settled, WaybillError } from "@waybill/core";
import { encodeFailure } from "../storage/codec.ts";
import type { QueueDelivery } from "./delivery.ts";
import type { SettleAnswer } from "./settle.ts";
import type { Transaction } from "../storage/transaction.ts";
import type { Operation, Writer } from "../storage/writer.ts";

/** Counts one more run of a message that stays with who holds it, if the lock still stands. */
export function countRun(
  writer: Pick<Writer, "submit">,
  delivery: QueueDelivery,
  failure: Failure,
): Promise<Settled> {
  return new Promise((settled, failed) =>
    writer.submit(new CountRunOperation(delivery, failure, { settled, failed })),
  );
}

class CountRunOperation implements Operation {
  readonly weight = 1;
  readonly bytes = 0;
  readonly #delivery: QueueDelivery;
  readonly #failure: Failure;
  readonly #answer: SettleAnswer;
  #settled: Settled = "unknown";

  constructor(delivery: QueueDelivery, failure: Failure, answer: SettleAnswer) {
    this.#delivery = delivery;
    this.#failure = failure;
    this.#answer = answer;
  }

  run({ sql }: Transaction): void {
    const { seq, lease, attempt } = this.#delivery;
    const isHeld = sql.countRun.run(attempt + 1, lease, seq).changes !== 0;
    this.#settled = isHeld ? "settled" : "lockLost";
    if (isHeld) sql.putFailure.run(seq, encodeFailure(this.#failure));
  }

  done(): void {
    if (this.#settled === "settled") {
      this.#delivery.attempt += 1;
      this.#delivery.failure = this.#failure;
    }
    this.#answer.settled(this.#settled);
  }

  failed(error: WaybillError): void {
    this.#answer.failed(error);
  }
}
