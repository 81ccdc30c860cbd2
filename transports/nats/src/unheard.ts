import { type Environment, type Settlement, sleep } from "@waybill/core";

/** The server counts from when it read what was asked for. */
const lateMs = 100;

/**
 * How long the server may still hold what a receiver that stopped listening had asked for: nothing takes a request back. What comes to such a request,
 * nats-server 2.9 counts as a delivery less, and forgets until the lock time has passed.
 */
export class Unheard {
  readonly #environment: Environment;
  readonly #leaving = new AbortController();
  #until = 0;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** It asked last for what ends at that moment of the monotonic clock; 0 where it asked for nothing. */
  note(until: number): void {
    this.#until = Math.max(this.#until, until + lateMs);
  }

  get leftMs(): number {
    return Math.max(0, this.#until - this.#environment.clock.monotonic());
  }

  /** Resolves when it can be given back, in the order of asking; who leaves lets the server wait instead. */
  async over(settlement: Settlement): Promise<Settlement> {
    if (settlement.kind !== "retry" && settlement.kind !== "release") return settlement;
    const { delayMs = 0 } = settlement;
    if (this.leftMs <= delayMs) return settlement;
    await sleep(this.#environment.timers, this.leftMs - delayMs, this.#leaving.signal).catch(
      () => undefined,
    );
    return this.leftMs > delayMs ? { ...settlement, delayMs: this.leftMs } : settlement;
  }

  leave(): void {
    this.#leaving.abort();
  }
}
