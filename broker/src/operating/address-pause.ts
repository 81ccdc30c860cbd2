import type { WaybillError } from "@waybill/core";
import type { CountAnswer } from "./discard.ts";
import type { Transaction } from "../storage/transaction.ts";
import type { Operation } from "../storage/writer.ts";

/** Changes one row of the topology; every process reads it again before it claims. */
abstract class AddressOperation implements Operation {
  readonly weight = 1;
  readonly bytes = 0;
  readonly #answer: CountAnswer;
  #changes = 0;

  constructor(answer: CountAnswer) {
    this.#answer = answer;
  }

  run(transaction: Transaction): void {
    this.#changes = this.change(transaction);
    if (this.#changes > 0) transaction.changeTopology();
  }

  done(): void {
    this.#answer.resolve(this.#changes);
  }

  failed(error: WaybillError): void {
    this.#answer.reject(error);
  }

  /** Answers how many rows. */
  protected abstract change(transaction: Transaction): number;
}

/** Ends delivery from an address. What was claimed before stays with who has it. */
export class PauseOperation extends AddressOperation {
  readonly #pause: { readonly address: number; readonly reason: string };

  constructor(pause: { readonly address: number; readonly reason: string }, answer: CountAnswer) {
    super(answer);
    this.#pause = pause;
  }

  protected override change({ sql, now }: Transaction): number {
    const { address, reason } = this.#pause;
    return Number(sql.pauseAddress.run(now, reason, address).changes);
  }
}

/** Lets an address deliver again, and wakes whoever waits for it in any process. */
export class ResumeOperation extends AddressOperation {
  readonly #address: number;

  constructor(address: number, answer: CountAnswer) {
    super(answer);
    this.#address = address;
  }

  protected override change({ sql, madeReady }: Transaction): number {
    const { changes } = sql.resumeAddress.run(this.#address);
    if (Number(changes) > 0) madeReady.add(this.#address);
    return Number(changes);
  }
}
