import type { Entry } from "../handling/entry.ts";
import type { Delivery } from "../ports/transport.ts";
import type { Runtime } from "../runtime.ts";
import type { KeyState, RateKeys } from "./rate-keys.ts";
import { rateWaitMsMax } from "./rate-limit.ts";

/** The rate that a delivery is under. */
export interface Rated {
  readonly keys: RateKeys;
  readonly key: string;
  /** Whether others may pass it at the broker. */
  readonly mayGoBack: boolean;
}

/** Where an entry stands. */
export interface Turn extends Rated {
  readonly state: KeyState;
}

/** What the listener does for the gate. */
export interface GateSide {
  /** Its turn has come: to be admitted, as soon as there is a place. */
  ready(entry: Entry): void;
  /** Its turn is far: back to the broker, uncounted, for so long. */
  giveBack(entry: Entry, delayMs: number): void;
}

/** Longest time for which a message goes back: what its process forgets by dying must not stand for hours. */
const backMsMax = 300_000;

/**
 * Lets messages begin at the rates of their handlers. Who must wait a little waits here, in its lock and in the order of coming; who must
 * wait long goes back to the broker until its turn, so that messages of other keys come through.
 */
export class RateGate {
  readonly #runtime: Runtime;
  readonly #rated: (delivery: Delivery) => Rated | undefined;
  readonly #side: GateSide;
  readonly #waiting = new Set<KeyState>();

  constructor(runtime: Runtime, rated: (delivery: Delivery) => Rated | undefined, side: GateSide) {
    this.#runtime = runtime;
    this.#rated = rated;
    this.#side = side;
  }

  /** True: it may begin, and counts. False: the gate has it, and brings it again or gives it back. */
  admit(entry: Entry): boolean {
    const now = this.#now();
    const turn = entry.turn ?? this.#turnOf(entry, now);
    if (turn === undefined) return true;
    const { keys, state } = turn;
    const isHead = state.line[0] === entry;
    const waitMs = keys.waitMs(state, now);
    const isFirst =
      isHead || (state.line.length === 0 && !keys.isBehindBack(state, entry.delivery, now));
    if (waitMs === 0 && isFirst) {
      keys.take(state, now);
      if (isHead) this.#advance(turn, entry);
      else entry.turn = undefined;
      return true;
    }
    if (isHead) this.#ring(turn, waitMs);
    else this.#hold(entry, turn, waitMs);
    return false;
  }

  /** It will not begin: its lock is lost. */
  forget(entry: Entry): void {
    const { turn } = entry;
    if (turn === undefined) return;
    if (turn.state.line[0] === entry) return this.#advance(turn, entry);
    const place = turn.state.line.indexOf(entry);
    if (place > 0) turn.state.line.splice(place, 1);
    entry.turn = undefined;
  }

  /** Everything that waits here, which is forgotten. */
  takeAll(): readonly Entry[] {
    const all: Entry[] = [];
    for (const state of this.#waiting) {
      state.timer?.cancel();
      state.timer = undefined;
      for (const entry of state.line.splice(0)) {
        entry.turn = undefined;
        all.push(entry);
      }
    }
    this.#waiting.clear();
    return all;
  }

  #turnOf({ delivery }: Entry, now: number): Turn | undefined {
    const rated = this.#rated(delivery);
    return rated === undefined ? undefined : { ...rated, state: rated.keys.of(rated.key, now) };
  }

  #hold(entry: Entry, turn: Turn, headWaitMs: number): void {
    const { state, keys } = turn;
    const now = this.#now();
    const behind = keys.isBehindBack(state, entry.delivery, now)
      ? state.backUntil - now + keys.intervalMs
      : 0;
    const waitMs = Math.max(headWaitMs + state.line.length * keys.intervalMs, behind);
    if (waitMs > rateWaitMsMax && turn.mayGoBack && mayLeave(entry)) {
      const dueAt = Math.max(now + waitMs, state.backUntil + keys.intervalMs);
      keys.sendBack(state, entry.delivery, Math.min(dueAt, now + backMsMax));
      entry.turn = undefined;
      return this.#side.giveBack(entry, state.backUntil - now);
    }
    entry.turn = turn;
    state.line.push(entry);
    this.#waiting.add(state);
    if (state.line.length === 1) this.#ring(turn, Math.max(headWaitMs, behind));
  }

  /** The head of the line has gone. */
  #advance(turn: Turn, entry: Entry): void {
    const { state, keys } = turn;
    entry.turn = undefined;
    state.line.shift();
    state.timer?.cancel();
    state.timer = undefined;
    if (state.line.length === 0) this.#waiting.delete(state);
    else this.#ring(turn, keys.waitMs(state, this.#now()));
  }

  #ring({ state }: Turn, waitMs: number): void {
    state.timer?.cancel();
    state.timer = this.#runtime.environment.timers.set(() => {
      state.timer = undefined;
      const head = state.line[0];
      if (head !== undefined) this.#side.ready(head);
    }, waitMs);
  }

  #now(): number {
    return this.#runtime.environment.clock.monotonic();
  }
}

/** What is in order within this process only would be overtaken; a session goes back as a whole. */
function mayLeave({ lane, delivery }: Entry): boolean {
  return lane === undefined || delivery.session !== undefined;
}
