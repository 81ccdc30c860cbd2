import type { Environment, ReceiveOptions, Timer } from "@waybill/core";
import type { ConsumerConfig } from "@nats-io/jetstream";
import { millis, nanos } from "@nats-io/transport-node";
import type { NatsDelivery } from "./delivery.ts";
import type { Link } from "./link.ts";
import { type Settling, inProgress } from "./settling.ts";
import type { Place } from "./topology.ts";

export interface LeaseParts {
  readonly environment: Environment;
  readonly settling: Settling;
  /** Something that was held is held no more. */
  readonly freed: () => void;
}

export interface Agreed {
  readonly link: Link;
  readonly place: Place;
  readonly options: ReceiveOptions;
  /** Whether the time of its locks may be set on the server; else it is as it stands there. */
  readonly mayChange: boolean;
}

const renewalsPerLock = 3;
const shortestTickMs = 10;
/** Of the lock time, what is certain of a lease that was never renewed: what was sent may have been long on its way, and in the hands of who stood still. */
const unrenewedShare = 2 / 3;

/** What a receiver holds, and since when the server knows. JetStream takes an acknowledgement from anybody, so who may have lost a lease has to know it by itself. */
export class Leases {
  readonly #parts: LeaseParts;
  readonly #held = new Map<number, NatsDelivery>();
  readonly #handed = new Set<NatsDelivery>();
  #timer: Timer | undefined;
  #lockMs = 0;
  #closed = false;
  /** Bytes of all that is held, and of that what was handed over. */
  bytes = 0;
  handedBytes = 0;

  constructor(parts: LeaseParts) {
    this.#parts = parts;
  }

  get size(): number {
    return this.#held.size;
  }

  get handed(): number {
    return this.#handed.size;
  }

  get lockMs(): number {
    return this.#lockMs;
  }

  set lockMs(lockMs: number) {
    if (lockMs === this.#lockMs) return;
    this.#lockMs = lockMs;
    this.#timer?.cancel();
    if (!this.#closed) this.#tickLater();
  }

  /** One ack wait holds for all who share the consumer: who comes first sets it, who comes later renews by it. Answers how the consumer is set. */
  async agree({ link, place, options, mayChange }: Agreed): Promise<ConsumerConfig> {
    const { consumers } = link.jetstream;
    const info = await consumers.info(place.stream, place.consumer);
    const isAlone = info.num_waiting === 0 && info.num_ack_pending === 0;
    const lockMs = millis(info.config.ack_wait ?? 0);
    if (isAlone && mayChange && lockMs !== options.lockMs) {
      await consumers.update(place.stream, place.consumer, { ack_wait: nanos(options.lockMs) });
      this.lockMs = options.lockMs;
    } else this.lockMs = lockMs;
    return info.config;
  }

  /** Who has it a second time lost it in between. */
  take(delivery: NatsDelivery): void {
    const before = this.#held.get(delivery.message.sequence);
    if (before !== undefined) this.#lose(before);
    this.#held.set(delivery.message.sequence, delivery);
    this.bytes += delivery.bytes;
  }

  /** False when it was lost before it was handed over. */
  hand(delivery: NatsDelivery): boolean {
    if (this.#held.get(delivery.message.sequence) !== delivery) return false;
    this.#handed.add(delivery);
    this.handedBytes += delivery.bytes;
    return true;
  }

  /** Whether it is certain that nobody else has it. */
  holds(delivery: NatsDelivery): boolean {
    if (this.#held.get(delivery.message.sequence) !== delivery) return false;
    if (this.#ageMs(delivery) <= this.#lockMs * (delivery.isRenewed ? 1 : unrenewedShare))
      return true;
    this.#lose(delivery);
    return false;
  }

  /** False when it was lost meanwhile. */
  release(delivery: NatsDelivery): boolean {
    const had = this.#remove(delivery);
    if (had) this.#parts.freed();
    return had;
  }

  loseAll(): readonly NatsDelivery[] {
    const all = [...this.#held.values()];
    for (const delivery of all) this.#lose(delivery);
    return all;
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #remove(delivery: NatsDelivery): boolean {
    const { sequence } = delivery.message;
    if (this.#held.get(sequence) !== delivery) return false;
    this.#held.delete(sequence);
    this.bytes -= delivery.bytes;
    if (this.#handed.delete(delivery)) this.handedBytes -= delivery.bytes;
    return true;
  }

  #lose(delivery: NatsDelivery): void {
    if (!this.#remove(delivery)) return;
    const wasOver = delivery.over;
    delivery.over = true;
    if (!wasOver) delivery.onLockLost?.();
    this.#parts.freed();
  }

  #ageMs({ leasedAt }: NatsDelivery): number {
    return this.#parts.environment.clock.monotonic() - leasedAt;
  }

  #tickLater(): void {
    const everyMs = Math.max(shortestTickMs, this.#lockMs / renewalsPerLock);
    this.#timer = this.#parts.environment.timers.set(() => {
      for (const delivery of this.#held.values())
        if (this.holds(delivery)) void this.#renew(delivery);
      if (!this.#closed) this.#tickLater();
    }, everyMs);
  }

  /** Counts from when it was asked, once the server has answered. */
  async #renew(delivery: NatsDelivery): Promise<void> {
    const askedAt = this.#parts.environment.clock.monotonic();
    const told = await this.#parts.settling.tell(delivery.message, inProgress, this.#lockMs);
    if (told !== "settled") return;
    delivery.leasedAt = Math.max(delivery.leasedAt, askedAt);
    delivery.isRenewed = true;
  }
}
