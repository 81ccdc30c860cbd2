import { type Environment, type Settlement, sleep } from "@waybill/core";
import { parsedJson } from "@waybill/core/adapter";
import type { Link } from "./link.ts";
import type { Place } from "./topology.ts";

export interface UnheardParts {
  readonly link: Link;
  readonly place: Pick<Place, "stream" | "consumer">;
  readonly environment: Environment;
}

/** The server counts from when it read what was asked for. */
const lateMs = 100;

/**
 * What the server may still hold of what a receiver that stopped listening had asked for: nothing takes a request back. What comes to such a request,
 * nats-server 2.9 counts as a delivery less, and forgets until the lock time has passed; what came after it, it sends twice. But it drops requests that
 * nobody listens to when it is asked how the consumer stands; where others ask too, or the consumer may be on another server, only time is certain.
 */
export class Unheard {
  readonly #parts: UnheardParts;
  readonly #leaving = new AbortController();
  #until = 0;
  #dropping: Promise<void> = Promise.resolve();
  /** One wait for all, so that what is given back keeps its order. */
  #passing: Promise<void> | undefined;

  constructor(parts: UnheardParts) {
    this.#parts = parts;
  }

  /**
   * The receiver listens until `silent`, and asked last for what ends at that moment of the monotonic clock; 0 where it asked for nothing. Resolves when
   * the server was asked to drop that.
   */
  note(asksUntil: number, silent: Promise<void>): Promise<void> {
    const until = asksUntil + lateMs;
    this.#until = Math.max(this.#until, until);
    this.#dropping = this.#dropUntil(until, silent);
    return this.#dropping;
  }

  get leftMs(): number {
    return Math.max(0, this.#until - this.#now());
  }

  /** Resolves when it can be given back, in the order of asking; who leaves lets the server wait instead. */
  async over(settlement: Settlement): Promise<Settlement> {
    if (settlement.kind !== "retry" && settlement.kind !== "release") return settlement;
    const { delayMs = 0 } = settlement;
    if (this.leftMs <= delayMs && this.#passing === undefined) return settlement;
    await this.#dropping;
    if (delayMs === 0 && this.leftMs > 0) this.#passing ??= this.#pass();
    if (delayMs === 0) await this.#passing;
    return { ...settlement, delayMs: Math.max(delayMs, this.leftMs) };
  }

  leave(): void {
    this.#leaving.abort();
  }

  async #pass(): Promise<void> {
    const { timers } = this.#parts.environment;
    while (this.leftMs > 0 && !this.#leaving.signal.aborted)
      await sleep(timers, this.leftMs, this.#leaving.signal).catch(() => undefined);
    // By its own clock it may still hold what has expired by ours.
    if (!this.#leaving.signal.aborted) await this.#drop();
    this.#passing = undefined;
  }

  async #dropUntil(until: number, silent: Promise<void>): Promise<void> {
    await silent;
    // What was asked for since is noted by itself.
    if (this.leftMs > 0 && (await this.#drop()) && this.#until <= until) this.#until = 0;
  }

  /** Whether it holds no request any more, of nobody. */
  async #drop(): Promise<boolean> {
    const { link, place } = this.#parts;
    const subject = `$JS.API.CONSUMER.INFO.${place.stream}.${place.consumer}`;
    const timeoutMs = Math.max(lateMs, this.leftMs);
    const answer = await link.requests.ask(subject, "", { timeoutMs }).catch(() => undefined);
    const told = answer === undefined ? undefined : parsedJson(answer.string());
    const isAlone = link.connection.info?.cluster === undefined;
    return isAlone && (told as { num_waiting?: unknown } | undefined)?.num_waiting === 0;
  }

  #now(): number {
    return this.#parts.environment.clock.monotonic();
  }
}
