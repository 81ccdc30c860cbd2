import { WaybillError } from "../errors.ts";
import { type Environment, sleep } from "../ports/environment.ts";
import type { Inspection } from "../ports/transport.ts";

/** How fast, and how far it is followed. */
export interface ReplaySettings {
  /** Letters put back per second by the bus's clock, 0.01 to 100,000, evenly spread. As fast as the broker takes them when absent. */
  readonly perSecond?: number;
  /** How long to wait for what was put back to be handled, in milliseconds, 0 to 3,600,000. Default 30,000. */
  readonly followMs?: number;
  /** Ends it early: what is back stays back, and the report says how far it came. */
  readonly signal?: AbortSignal;
}

/** What became of the dead letters that were put back. `replayed` = handled + failedAgain + deferred + discarded + waiting + notFollowed. */
export interface ReplayReport {
  /** Dead letters that fitted when it began. */
  readonly found: number;
  /** Of these, put back; the others were gone by then, nobody subscribes to them yet, or `signal` ended it. */
  readonly replayed: number;
  /** Gone from the broker, and not discarded as far as that remembers: handled. */
  readonly handled: number;
  /** Deleted by a person meanwhile. */
  readonly discarded: number;
  /** Among the dead letters once more. */
  readonly failedAgain: number;
  readonly deferred: number;
  /** Not at an end when `followMs` was over or `signal` came: ready, in flight or waiting for a retry. */
  readonly waiting: number;
  /** Events that nobody had subscribed to, published again to any number of subscriptions; and all where the broker cannot follow (`capabilities.follows`). */
  readonly notFollowed: number;
  /** Handles of those that failed again, the first 1,000. */
  readonly failures: readonly string[];
  /** True when `signal` ended it before all were put back or followed. */
  readonly stopped: boolean;
}

const followMsDefault = 30_000;
/** Letters in one request to the broker. */
const stepMax = 500;
/** Steps per second where the rate is high: fine enough to be even, coarse enough to be cheap. */
const stepsPerSecond = 20;
const failuresMax = 1_000;
const lookMsMin = 20;
const lookMsMax = 1_000;

interface Ends {
  handled: number;
  discarded: number;
  failedAgain: number;
  deferred: number;
  waiting: number;
  failures: string[];
}

const countOf = {
  gone: "handled",
  discarded: "discarded",
  dead: "failedAgain",
  deferred: "deferred",
} as const;

/** What a replay needs of the broker. */
type Moving = Pick<Inspection, "replay" | "follow">;

/** One replay: puts letters back at a rate and follows them. */
export class Replay {
  readonly #inspection: Moving;
  readonly #environment: Environment;
  readonly #perSecond: number;
  readonly #followMs: number;
  readonly #signal: AbortSignal | undefined;

  /** Throws OPTION_INVALID. */
  constructor(inspection: Moving, environment: Environment, options: ReplaySettings) {
    const { perSecond = Number.POSITIVE_INFINITY, followMs = followMsDefault, signal } = options;
    if (options.perSecond !== undefined && !(perSecond >= 0.01 && perSecond <= 100_000)) {
      throw new WaybillError(
        "OPTION_INVALID",
        `perSecond is ${String(perSecond)}; give a number from 0.01 to 100,000.`,
      );
    }
    if (!(followMs >= 0 && followMs <= 3_600_000)) {
      throw new WaybillError(
        "OPTION_INVALID",
        `followMs is ${String(followMs)}; give milliseconds from 0 to 3,600,000.`,
      );
    }
    this.#inspection = inspection;
    this.#environment = environment;
    this.#perSecond = perSecond;
    this.#followMs = followMs;
    this.#signal = signal;
  }

  async run(letters: readonly string[], published: readonly string[]): Promise<ReplayReport> {
    const followed = await this.#putBack(letters);
    const others = await this.#putBack(published);
    const ends = await this.#follow(followed.handles);
    // Somebody else put back or discarded what the count lacks: it is gone, but not by this replay.
    const lacking = followed.handles.length - followed.count;
    const discardedBefore = Math.min(lacking, ends.discarded);
    return {
      found: letters.length + published.length,
      replayed: followed.count + others.count,
      ...ends,
      discarded: ends.discarded - discardedBefore,
      handled: Math.max(0, ends.handled - (lacking - discardedBefore)),
      notFollowed: others.count,
      stopped: this.#signal?.aborted === true,
    };
  }

  /** Steps are spread evenly and never make up for lost time: a rate is a promise to whoever is behind the handlers. */
  async #putBack(handles: readonly string[]): Promise<{ count: number; handles: string[] }> {
    const size = Math.min(stepMax, Math.max(1, Math.floor(this.#perSecond / stepsPerSecond)));
    const put: string[] = [];
    let count = 0;
    for (let from = 0; from < handles.length && this.#signal?.aborted !== true; from += size) {
      const startedAt = this.#environment.clock.monotonic();
      const step = handles.slice(from, from + size);
      count += await this.#inspection.replay(step);
      put.push(...step);
      if (from + size >= handles.length) break;
      const pauseMs = (step.length * 1_000) / this.#perSecond;
      await this.#pause(startedAt + pauseMs - this.#environment.clock.monotonic());
    }
    return { count, handles: put };
  }

  async #follow(handles: readonly string[]): Promise<Ends> {
    const { clock } = this.#environment;
    const until = clock.monotonic() + this.#followMs;
    const ends: Ends = {
      handled: 0,
      discarded: 0,
      failedAgain: 0,
      deferred: 0,
      waiting: 0,
      failures: [],
    };
    let waiting = handles;
    for (let pauseMs = lookMsMin; ; pauseMs = Math.min(2 * pauseMs, lookMsMax)) {
      waiting = await this.#look(waiting, ends);
      const leftMs = until - clock.monotonic();
      if (waiting.length === 0 || leftMs <= 0 || this.#signal?.aborted === true)
        return { ...ends, waiting: waiting.length };
      await this.#pause(Math.min(pauseMs, leftMs));
    }
  }

  /** Counts those that have come to an end, and answers the others. */
  async #look(handles: readonly string[], ends: Ends): Promise<string[]> {
    const still: string[] = [];
    for (let from = 0; from < handles.length; from += stepMax) {
      const step = handles.slice(from, from + stepMax);
      const found = await this.#inspection.follow(step);
      for (const [index, handle] of step.entries()) {
        const end = found[index] ?? "gone";
        if (end === "waiting") still.push(handle);
        else ends[countOf[end]] += 1;
        if (end === "dead" && ends.failures.length < failuresMax) ends.failures.push(handle);
      }
    }
    return still;
  }

  async #pause(ms: number): Promise<void> {
    if (!(ms > 0)) return;
    await sleep(this.#environment.timers, ms, this.#signal).catch(() => undefined);
  }
}
