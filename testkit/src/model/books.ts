import type { LedgerEntry } from "@waybill/core";
import { Violation } from "./violation.ts";

/** Under it stand the books of temporary addresses that have ended. */
const endedBooks = "#removed";

/** What came to each address, to be held against the books of the broker. */
export class Books {
  readonly #accepted = new Map<string, number>();
  readonly #doubted = new Map<string, number>();
  /** Addresses that ended with their process. */
  readonly #ended = new Set<string>();

  accept(address: string): void {
    this.#accepted.set(address, (this.#accepted.get(address) ?? 0) + 1);
  }

  /** It may have come there as well. */
  doubt(address: string | undefined): void {
    if (address === undefined) return;
    this.#doubted.set(address, (this.#doubted.get(address) ?? 0) + 1);
  }

  end(address: string): void {
    this.#ended.add(address);
  }

  /** Holds the books against what was sent. */
  check(entries: readonly LedgerEntry[]): void {
    let ended = 0;
    for (const { address, kind, accepted, copied, repeated, difference } of entries) {
      if (difference !== 0)
        throw new Violation(`the books of ${address} (${kind}) miss ${difference}`);
      if (address === endedBooks || this.#ended.has(address)) ended += accepted;
      else this.#isEqual(`the books of ${address}`, accepted - copied - repeated, [address]);
    }
    this.#isEqual("the books of ended queues", ended, [...this.#ended]);
  }

  #isEqual(whose: string, accepted: number, addresses: readonly string[]): void {
    const sum = (counts: ReadonlyMap<string, number>): number =>
      addresses.reduce((total, each) => total + (counts.get(each) ?? 0), 0);
    const expected = sum(this.#accepted);
    if (accepted < expected || accepted > expected + sum(this.#doubted))
      throw new Violation(`${whose} have ${accepted} accepted, not ${expected}`);
  }
}
