import type { Delivery, Listener, Receiver, TransportHost, WaybillError } from "@waybill/core";
import { FaultyDelivery } from "./delivery.ts";
import type { Dice } from "./dice.ts";

export interface FaultyParts {
  readonly host: TransportHost;
  readonly dice: Dice;
  readonly listener: Listener;
  /** A stream: nothing may overtake. */
  readonly inOrder: boolean;
}

/** Stands between a transport's receiver and its listener. */
export class FaultyReceiver implements Receiver, Listener {
  readonly #parts: FaultyParts;
  /** Late deliveries, not handed over yet. */
  readonly #held = new Set<Delivery>();
  /** Monotonic moment before which nothing of a stream may be handed over. */
  #gateAt = 0;
  #inner: Receiver | undefined;
  #over = false;

  constructor(parts: FaultyParts) {
    this.#parts = parts;
  }

  begin(inner: Receiver): void {
    this.#inner = inner;
  }

  deliver(batch: readonly Delivery[]): void {
    const { dice, inOrder } = this.#parts;
    const wrapped = batch.map((delivery) => new FaultyDelivery(delivery, dice, inOrder));
    if (inOrder) return this.#inOrder(wrapped);
    const late = new Set(wrapped.filter(() => dice.strikes("delay")));
    for (const delivery of late) this.#later([delivery], dice.delayMs());
    const now = wrapped.filter((delivery) => !late.has(delivery));
    if (now.length > 0)
      this.#hand(now.length > 1 && dice.strikes("reorder") ? dice.shuffle(now) : now);
  }

  fault(error: WaybillError): void {
    this.#parts.listener.fault(error);
  }

  pause(): void {
    this.#inner?.pause();
  }

  resume(): void {
    this.#inner?.resume();
  }

  /** What is still on its way late goes back, for nothing may be delivered after this. */
  async stop(): Promise<void> {
    this.#over = true;
    await this.#inner?.stop();
    const held = [...this.#held];
    this.#held.clear();
    await Promise.all(held.map((delivery) => delivery.settle({ kind: "release" })));
  }

  /** Its transport closes and takes back what is held. */
  forget(): void {
    this.#over = true;
    this.#held.clear();
  }

  #inOrder(batch: readonly Delivery[]): void {
    const { dice, host } = this.#parts;
    const now = host.environment.clock.monotonic();
    if (dice.strikes("delay")) this.#gateAt = Math.max(this.#gateAt, now + dice.delayMs());
    if (this.#gateAt <= now && this.#held.size === 0) return this.#hand(batch);
    this.#later(batch, Math.max(0, this.#gateAt - now));
  }

  #later(batch: readonly Delivery[], delayMs: number): void {
    for (const delivery of batch) this.#held.add(delivery);
    this.#parts.host.environment.timers.set(() => {
      const due = batch.filter((delivery) => this.#held.delete(delivery));
      if (due.length > 0) this.#hand(due);
    }, delayMs);
  }

  #hand(batch: readonly Delivery[]): void {
    if (!this.#over) return this.#parts.listener.deliver(batch);
    for (const delivery of batch) void delivery.settle({ kind: "release" });
  }
}
