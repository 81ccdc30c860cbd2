import type { Feed, FeedCursor } from "@waybill/contracts";
import type { OpenOptions, ResumePolicy } from "../context.ts";
import type { Envelope } from "../envelope.ts";
import { WaybillError, messageOf } from "../errors.ts";
import { sleep } from "../ports/environment.ts";
import { retryDelayMs, retryDefault } from "../handling/retry.ts";
import type { Runtime } from "../runtime.ts";
import { cursorOf, isCursor } from "./cursor.ts";

const policyDefault: Required<ResumePolicy> = {
  attempts: 20,
  withinMs: 60_000,
  delayMs: 100,
  delayMsMax: 5_000,
};
const bounds: Readonly<Record<keyof ResumePolicy, readonly [number, number]>> = {
  attempts: [1, 1_000],
  withinMs: [1, 7 * 86_400_000],
  delayMs: [0, 60_000],
  delayMsMax: [0, 600_000],
};
const pausing = { ...retryDefault, factor: 2, jitter: 0.5 };
/** A connection that stood so long had a server, items or none: what comes after it is another outage. */
const standsMs = 15_000;

/** Opens one connection of a feed, after that cursor. */
export type Connect = (resumeFrom: FeedCursor | undefined) => AsyncIterable<Envelope>;

/** One feed through all its connections: where the caller is, and when to open it again. */
export class Resumption {
  readonly #feed: Feed;
  readonly #runtime: Runtime;
  readonly #policy: Required<ResumePolicy> | undefined;
  /** Of the last item that the caller got. */
  #last: FeedCursor | undefined;
  /** What the present connection began after. */
  #resumedFrom: FeedCursor | undefined;
  #outage: { readonly since: number; tries: number } | undefined;

  /** Error: OPTION_INVALID. */
  constructor(feed: Feed, options: OpenOptions<unknown, FeedCursor>, runtime: Runtime) {
    this.#feed = feed;
    this.#runtime = runtime;
    this.#policy = policyOf(feed, options.resume);
    this.#last = options.resumeFrom;
    if (this.#last !== undefined && !isCursor(this.#last))
      throw invalid(feed, "resumeFrom is no cursor; give that of an item");
  }

  /**
   * The envelopes of one connection after another. A connection is lost when it fails by itself and may work again; what
   * the server says, an error of its handler for one, is no loss. Errors: those of `connect`, the signal's reason, FEED_FAILED when
   * the policy is exhausted.
   */
  async *envelopes(connect: Connect, signal: AbortSignal): AsyncIterable<Envelope> {
    const { clock } = this.#runtime.environment;
    for (;;) {
      const openedAt = clock.monotonic();
      this.#resumedFrom = this.#last;
      try {
        yield* connect(this.#last);
        return;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof WaybillError && error.retryable) || this.#policy === undefined)
          throw error;
        if (clock.monotonic() - openedAt >= standsMs) this.#outage = undefined;
        await this.#pause(error, this.#policy, signal);
      }
    }
  }

  /**
   * Whether an item is the caller's next. What stands at or before the last one is a replay and not taken. Error: ANSWER_INVALID when
   * cursors go back where nothing is replayed, because then items would vanish unseen.
   */
  takes(item: unknown): boolean {
    const cursor = cursorOf(this.#feed, item);
    const last = this.#last;
    if (last !== undefined && typeof cursor !== typeof last)
      throw this.#confused(cursor, "a number and a text cannot be compared");
    if (last === undefined || cursor > last) {
      this.#last = cursor;
      this.#outage = undefined;
      return true;
    }
    const from = this.#resumedFrom;
    if (cursor === last || (from !== undefined && cursor <= from)) return false;
    throw this.#confused(cursor, "an item's cursor is greater than that of the item before");
  }

  async #pause(
    cause: WaybillError,
    policy: Required<ResumePolicy>,
    signal: AbortSignal,
  ): Promise<void> {
    const { environment, counters, logger, telemetry } = this.#runtime;
    const { name } = this.#feed;
    const now = environment.clock.monotonic();
    const outage = (this.#outage ??= { since: now, tries: 0 });
    const leftMs = outage.since + policy.withinMs - now;
    if (outage.tries >= policy.attempts || leftMs <= 0)
      throw new WaybillError(
        "FEED_FAILED",
        `"${name}" was lost and could not be opened again (${outage.tries} times in ${Math.round(now - outage.since)} ms): ${messageOf(cause)}`,
        { retryable: true, cause },
      );
    outage.tries += 1;
    const delayMs = retryDelayMs({ ...pausing, ...policy }, outage.tries, environment.random());
    const fields = { attempt: outage.tries, delayMs, after: this.#last };
    logger.warn(`"${name}" was lost and is opened again: ${messageOf(cause)}`, fields);
    await sleep(environment.timers, Math.min(delayMs, leftMs), signal);
    counters.of(name).resumed += 1;
    telemetry?.resumed(name);
  }

  #confused(cursor: FeedCursor, rule: string): WaybillError {
    return new WaybillError(
      "ANSWER_INVALID",
      `"${this.#feed.name}" gave the cursor ${JSON.stringify(cursor)} after ${JSON.stringify(this.#last)}: ${rule}. Mend resume.of in its contract, or the order in which its handler gives items.`,
    );
  }
}

function policyOf(
  feed: Feed,
  policy: ResumePolicy | false | undefined,
): Required<ResumePolicy> | undefined {
  if (policy === false) return undefined;
  const merged: Required<ResumePolicy> = Object.assign({}, policyDefault, policy);
  for (const [field, [least, most]] of Object.entries(bounds)) {
    const value: unknown = merged[field as keyof ResumePolicy];
    if (typeof value === "number" && value >= least && value <= most) continue;
    throw invalid(feed, `resume.${field} is ${String(value)}; give ${least} to ${most}`);
  }
  return merged;
}

function invalid({ name }: Feed, why: string): WaybillError {
  return new WaybillError("OPTION_INVALID", `"${name}" cannot be opened: ${why}.`);
}
