import type { Environment, Listener, Settlement } from "@waybill/core";
import type { PartitionKey } from "./assignment.ts";
import type { Commits } from "./commits.ts";
import { KafkaDelivery, type Settler } from "./delivery.ts";
import type { Hand } from "./hand.ts";
import { expiryOf, readMessage } from "./message.ts";
import type { Origin } from "./settling.ts";
import type { Entry, Window } from "./window.ts";

export interface HandingParts {
  readonly origin: Origin;
  readonly windows: ReadonlyMap<PartitionKey, Window>;
  readonly hand: Hand;
  readonly commits: Commits;
  readonly settler: Settler;
  readonly listener: Listener;
  readonly environment: Environment;
  /** Whether a record is for this source. */
  readonly isWanted: (entry: Entry) => boolean;
  /** Nothing is handed over while it is not. */
  readonly isOpen: () => boolean;
  /** Whether nobody else has what is about to be handed over. */
  readonly isSure: () => Promise<boolean>;
  /** There may be room to read on. */
  readonly handed: () => void;
  readonly fault: (error: unknown) => void;
}

/** Hands over what was read, as far as there is room for it. */
export class Handing {
  readonly #parts: HandingParts;
  #pumping: Promise<void> | undefined;

  constructor(parts: HandingParts) {
    this.#parts = parts;
  }

  /** What is being handed over; undefined when nothing is. */
  get pumping(): Promise<void> | undefined {
    return this.#pumping;
  }

  /** As much as there is room for. */
  pump(): void {
    this.#pumping ??= this.#handOverAll()
      .catch((error: unknown) => this.#parts.fault(error))
      .finally(() => {
        this.#pumping = undefined;
        this.#parts.handed();
      });
  }

  async #handOverAll(): Promise<void> {
    for (let batch = this.#take(); batch.length > 0; batch = this.#take()) {
      // That they are handed over is stored before they are.
      await this.#parts.commits.flush();
      const isWanted = this.#parts.isOpen() && (await this.#parts.isSure());
      const handed: KafkaDelivery[] = [];
      for (const delivery of batch) {
        if (isWanted && !delivery.entry.window.lost) handed.push(delivery);
        else this.#putBack(delivery);
      }
      if (handed.length > 0) this.#parts.listener.deliver(handed);
      if (!isWanted) return;
    }
  }

  #putBack(delivery: KafkaDelivery): void {
    if (!this.#parts.hand.letGo(delivery)) return;
    delivery.over = true;
    delivery.entry.window.giveBack(delivery.entry);
  }

  /** What there is room for, from the partitions by turns. */
  #take(): readonly KafkaDelivery[] {
    const batch: KafkaDelivery[] = [];
    const open = [...this.#parts.windows.values()];
    while (open.length > 0 && this.#parts.isOpen()) {
      const window = open.shift();
      const entry = window === undefined || window.draining ? undefined : window.peek();
      if (window === undefined || entry === undefined) continue;
      if (!this.#parts.hand.hasRoom(entry)) break;
      const delivery = this.#deliveryOf(entry, window.take());
      if (delivery !== undefined) batch.push(delivery);
      open.push(window);
    }
    return batch;
  }

  /** Undefined for what nobody gets here. */
  #deliveryOf(entry: Entry, before: number): KafkaDelivery | undefined {
    if (!this.#parts.isWanted(entry)) {
      entry.window.finish(entry);
      return undefined;
    }
    const read = readMessage(entry.stored);
    const delivery = new KafkaDelivery({
      ...this.#parts.origin.identify(entry, read),
      entry,
      read,
      before,
      settler: this.#parts.settler,
    });
    this.#parts.hand.take(delivery);
    const { notAfter = Number.POSITIVE_INFINITY, expiryLifted } = read;
    if (expiryLifted || notAfter >= this.#parts.environment.clock.now()) return delivery;
    void this.#expire(delivery);
    return undefined;
  }

  async #expire(delivery: KafkaDelivery): Promise<void> {
    const failure = expiryOf(delivery.read, delivery.attempt - 1);
    const settlement: Settlement = delivery.read.discardExpired
      ? { kind: "complete" }
      : { kind: "deadLetter", failure };
    await delivery.settle(settlement).catch((error: unknown) => {
      this.#parts.fault(error);
      this.#putBack(delivery);
    });
  }
}
