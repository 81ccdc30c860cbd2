import type { Entry } from "../handling/entry.ts";
import type { Delivery } from "../ports/transport.ts";
import type { Timer } from "../ports/environment.ts";

/** What is known of one key. */
export interface KeyState {
  /** When the next message is due if all come evenly: the theoretical arrival time of the algorithm. */
  dueAt: number;
  /** Who waits here for it, in order. */
  readonly line: Entry[];
  /** For the head of the line. */
  timer: Timer | undefined;
  /** The turn of the last one that went back to wait at the broker. */
  backUntil: number;
  /** When the broker took the newest of those that went back, and which ones it took in that millisecond. */
  newestAt: number;
  readonly newestIds: Set<string>;
}

/** So many of one millisecond are told apart. */
const newestMax = 1_000;

/** A little over a rounding error of a clock in milliseconds. */
const hairMs = 1e-6;

/**
 * Rates per key by the generic cell rate algorithm (ATM Forum, Traffic Management Specification 4.0, section 4.4.2, "virtual scheduling"):
 * one moment per key, no timer per token. Times are of the monotonic clock.
 */
export class RateKeys {
  readonly intervalMs: number;
  readonly #toleranceMs: number;
  readonly #keysMax: number;
  readonly #onForget: () => void;
  /** In the order of their last use. */
  readonly #states = new Map<string, KeyState>();

  constructor(
    rate: { readonly intervalMs: number; readonly burst: number },
    parts: { readonly keysMax: number; readonly onForget: () => void },
  ) {
    this.intervalMs = rate.intervalMs;
    this.#toleranceMs = (rate.burst - 1) * rate.intervalMs;
    this.#keysMax = parts.keysMax;
    this.#onForget = parts.onForget;
  }

  get size(): number {
    return this.#states.size;
  }

  states(): Iterable<KeyState> {
    return this.#states.values();
  }

  of(key: string, now: number): KeyState {
    const known = this.#states.get(key);
    if (known !== undefined) {
      this.#states.delete(key);
      this.#states.set(key, known);
      return known;
    }
    if (this.#states.size >= this.#keysMax) this.#forgetOne(now);
    const fresh = {
      dueAt: 0,
      line: [],
      timer: undefined,
      backUntil: 0,
      newestAt: 0,
      newestIds: new Set<string>(),
    };
    this.#states.set(key, fresh);
    return fresh;
  }

  /** Milliseconds until one more may begin. */
  waitMs({ dueAt }: KeyState, now: number): number {
    const waitMs = dueAt - this.#toleranceMs - now;
    return waitMs > hairMs ? waitMs : 0;
  }

  /** One begins. */
  take(state: KeyState, now: number): void {
    state.dueAt = Math.max(state.dueAt, now) + this.intervalMs;
  }

  /** One goes back until then. */
  sendBack(state: KeyState, { envelope, enqueuedAt }: Delivery, until: number): void {
    state.backUntil = until;
    if (enqueuedAt < state.newestAt) return;
    if (enqueuedAt > state.newestAt) state.newestIds.clear();
    state.newestAt = enqueuedAt;
    if (state.newestIds.size < newestMax) state.newestIds.add(envelope.header.id);
  }

  /** It came after those that wait at the broker for their turns. */
  isBehindBack(state: KeyState, { envelope, enqueuedAt }: Delivery, now: number): boolean {
    if (state.backUntil <= now || enqueuedAt < state.newestAt) return false;
    return enqueuedAt > state.newestAt || !state.newestIds.has(envelope.header.id);
  }

  /** Who has waited out its rate is forgotten without a trace; else the one used longest ago, which then begins anew. */
  #forgetOne(now: number): void {
    for (const [key, state] of this.#states) {
      if (state.line.length > 0) continue; // at most as many as messages are fetched ahead
      this.#states.delete(key);
      if (state.dueAt > now || state.backUntil > now) this.#onForget();
      return;
    }
  }
}
