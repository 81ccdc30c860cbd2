import type { ReceiveOptions } from "@waybill/core";
import type { Budget } from "../storage/budget.ts";
import type { QueueDelivery } from "./delivery.ts";
import { sessionOf } from "./sessions.ts";

/** What one receiver has delivered: its messages until they are settled by the handler, its sessions until the database knows of it. */
export class QueueHand {
  readonly perSession: number;
  readonly #budget: Budget;
  readonly #sessionsMax: number;
  readonly #held = new Map<number, QueueDelivery>();
  readonly #sessions = new Map<number, number>();
  #sessionsFirst = false;

  constructor(budget: Budget, { prefetch, sessions = prefetch }: ReceiveOptions) {
    this.#budget = budget;
    this.#sessionsMax = sessions;
    // Its sessions share what it has room for.
    this.perSession = Math.max(1, Math.floor(prefetch / sessions));
  }

  get size(): number {
    return this.#held.size;
  }

  has(delivery: QueueDelivery): boolean {
    return this.#held.get(delivery.seq) === delivery;
  }

  hold(delivery: QueueDelivery): void {
    this.#held.set(delivery.seq, delivery);
    this.#budget.take(delivery.bytes);
  }

  forget(delivery: QueueDelivery): void {
    this.#held.delete(delivery.seq);
    this.#budget.give(delivery.bytes);
  }

  all(): readonly QueueDelivery[] {
    return [...this.#held.values()];
  }

  /** What it holds behind that message in its session. */
  behind({ line, seq }: QueueDelivery): readonly QueueDelivery[] {
    if (sessionOf(line) === undefined) return [];
    return this.all().filter((other) => other.line === line && other.seq > seq);
  }

  /** Sessions there is room for. */
  get sessionRoom(): number {
    return Math.max(0, this.#sessionsMax - this.#sessions.size);
  }

  /** Whether sessions come before what stands beside them: every other time. */
  takeTurn(): boolean {
    this.#sessionsFirst = !this.#sessionsFirst;
    return this.#sessionsFirst;
  }

  /** What a claim brought. */
  receive(delivery: QueueDelivery): void {
    const { line } = delivery;
    this.hold(delivery);
    if (sessionOf(line) !== undefined)
      this.#sessions.set(line, (this.#sessions.get(line) ?? 0) + 1);
  }

  /** Answers whether that made room for another session. */
  leave({ line }: QueueDelivery): boolean {
    const count = this.#sessions.get(line);
    if (count === undefined) return false;
    if (count > 1) this.#sessions.set(line, count - 1);
    else this.#sessions.delete(line);
    return count === 1 && this.#sessions.size === this.#sessionsMax - 1;
  }

  /** The lease is lost, and everything with it. */
  clear(): readonly QueueDelivery[] {
    const lost = this.all();
    for (const delivery of lost) this.forget(delivery);
    this.#sessions.clear();
    return lost;
  }
}
