import type { Environment, Listener, ReceiveOptions } from "@waybill/core";
import type { ReplayedDelivery, StreamDelivery } from "./delivery.ts";
import type { ItemSettler } from "./delivery.ts";
import type { PartitionReader } from "./reader.ts";

export interface StreamHandParts {
  readonly environment: Environment;
  readonly options: Pick<ReceiveOptions, "prefetch" | "prefetchBytes">;
  readonly listener: Listener;
  readonly settler: ItemSettler;
  readonly readers: () => Iterable<PartitionReader>;
  /** Nothing is handed over for now. */
  readonly rests: () => boolean;
}

type Item = StreamDelivery | ReplayedDelivery;

/** What a member holds of all its partitions, and of what was replayed: never more than it asked for. */
export class StreamHand {
  readonly #parts: StreamHandParts;
  readonly #held = new Set<Item>();
  #replayed: ReplayedDelivery[] = [];
  #bytes = 0;
  #turn = 0;
  #soon = false;

  constructor(parts: StreamHandParts) {
    this.#parts = parts;
  }

  get isEmpty(): boolean {
    return this.#held.size === 0;
  }

  addReplays(deliveries: readonly ReplayedDelivery[]): void {
    this.#replayed.push(...deliveries);
    this.handOverSoon();
  }

  /** Those that were not handed over. */
  takeReplays(): readonly ReplayedDelivery[] {
    return this.#replayed.splice(0);
  }

  /** Answers whether it was held. */
  letGo(delivery: Item): boolean {
    if (!this.#held.delete(delivery)) return false;
    this.#bytes -= delivery.bytes;
    this.handOverSoon();
    return true;
  }

  handOverSoon(): void {
    if (this.#soon) return;
    this.#soon = true;
    this.#parts.environment.timers.soon(() => {
      this.#soon = false;
      this.#handOver();
    });
  }

  #handOver(): void {
    if (this.#parts.rests()) return;
    const batch: Item[] = [];
    for (;;) {
      const delivery = this.#next();
      if (delivery === undefined) break;
      this.#held.add(delivery);
      this.#bytes += delivery.bytes;
      batch.push(delivery);
    }
    if (batch.length > 0) this.#parts.listener.deliver(batch);
  }

  /** What was replayed comes first; then each partition in its turn, so that a busy one does not starve the others. */
  #next(): Item | undefined {
    const { options, readers, settler } = this.#parts;
    if (this.#held.size >= options.prefetch) return undefined;
    // What its channel has lost comes again.
    this.#replayed = this.#replayed.filter(({ over }) => !over);
    const [replay] = this.#replayed;
    if (replay !== undefined) return this.#fits(replay.bytes) ? this.#replayed.shift() : undefined;
    const busy = [...readers()].filter(({ hasWork }) => hasWork);
    const reader = busy[this.#turn++ % busy.length];
    return reader !== undefined && this.#fits(reader.nextBytes)
      ? reader.handOver(settler)
      : undefined;
  }

  #fits(bytes: number): boolean {
    return this.#held.size === 0 || this.#bytes + bytes <= this.#parts.options.prefetchBytes;
  }
}
