import { messageOf } from "../errors.ts";
import type { Timer } from "../ports/environment.ts";
import type { OutboxRow, Store } from "../ports/store.ts";
import type { Runtime } from "../runtime.ts";
import { within } from "../within.ts";
import { type LineRuntime, OutboxLine } from "./outbox-line.ts";
import { outboxRoutes } from "./outbox-routes.ts";

export type RelayRuntime = LineRuntime & Pick<Runtime, "brokers">;

/** Rows kept in memory, over all lines; what is written beyond it is read from the store when these are sent. */
const queueMax = 10_000;
const queueBytesMax = 32 * 1024 * 1024;
/** Of the time after which others take over: two renewals may fail. */
const renewalsPerLease = 3;
/** How long closing waits for a renewal that is on its way. */
const renewingMsMax = 1_000;
/** Between two small steps of tidying. */
const tidyPauseMs = 20;

/**
 * Sends what one store's transactions have written, each broker's in a line of its own: one that is gone holds up nothing that leaves over another.
 * Holds the lease on the rows of this process, and takes over those of the dead.
 */
export class Relay {
  readonly #store: Store;
  readonly #leaseMs: number;
  readonly #runtime: RelayRuntime;
  readonly #lines: readonly OutboxLine[];
  #isStopped = false;
  #timer: Timer | undefined;
  #renewing: Promise<void> = Promise.resolve();

  constructor(store: Store, leaseMs: number, runtime: RelayRuntime) {
    this.#store = store;
    this.#leaseMs = leaseMs;
    this.#runtime = runtime;
    this.#lines = outboxRoutes(runtime.brokers).map(
      (route) => new OutboxLine(route, store, runtime),
    );
  }

  /** Why what is committed does not leave, and over which broker, where there are several. */
  get trouble(): string | undefined {
    const troubles = this.#lines.flatMap(({ route: { broker }, trouble }) => {
      if (trouble === undefined) return [];
      return broker === undefined ? trouble : `${broker}: ${trouble}`;
    });
    return troubles.length === 0 ? undefined : troubles.join("; ");
  }

  /** Takes over from the dead, and looks for them from now on. What opening has taken over is read at once. */
  start(): void {
    this.doubt();
    this.#renewing = this.#renew();
  }

  /** After a COMMIT, in the order of commits. */
  committed(rows: readonly OutboxRow[]): void {
    for (const line of this.#lines) {
      const { kinds } = line.route;
      const own =
        kinds === undefined
          ? rows
          : rows.filter(({ outgoing }) => kinds.includes(outgoing.to.kind));
      if (own.length > 0) line.committed(own);
    }
    this.#bound();
  }

  /** Rows may be stored of which it was not told. */
  doubt(): void {
    for (const line of this.#lines) line.doubt();
  }

  /** Sends what is left, for `deadlineMs` at most; the rest is sent by another process of the store, or by the next. */
  async close(deadlineMs: number): Promise<void> {
    const { environment } = this.#runtime;
    const idle = Promise.all(this.#lines.map((line) => line.idle())).then(() => undefined);
    await within(environment, idle, deadlineMs);
    this.#isStopped = true;
    for (const line of this.#lines) line.stop();
    this.#timer?.cancel();
    await within(environment, this.#renewing, renewingMsMax);
  }

  /** Where all have too much in memory together, who has more than its share gives way: the line that stands, not the one that runs. */
  #bound(): void {
    const sum = (of: (line: OutboxLine) => number): number =>
      this.#lines.reduce((total, line) => total + of(line), 0);
    if (sum(({ rows }) => rows) <= queueMax && sum(({ bytes }) => bytes) <= queueBytesMax) return;
    const count = this.#lines.length;
    for (const line of this.#lines) line.shorten(queueMax / count, queueBytesMax / count);
  }

  async #renew(isTidying = false): Promise<void> {
    const { environment } = this.#runtime;
    let isMore = false;
    try {
      const { taken, lost, more } = await this.#store.outbox.renew(this.#leaseMs);
      if (lost) for (const line of this.#lines) line.lose();
      // Also what nobody told of: a COMMIT that landed long after its line broke, a row of a process that committed after it was taken for dead.
      if (!isTidying || taken || lost) this.doubt();
      isMore = more;
    } catch (error) {
      this.#runtime.logger.warn(
        `${this.#store.name} could not renew its lease on the outbox: ${messageOf(error)}`,
      );
    }
    if (this.#isStopped) return;
    const renewMs = (this.#leaseMs / renewalsPerLease) * (0.75 + environment.random() / 2);
    const delayMs = isMore ? tidyPauseMs : renewMs;
    this.#timer = environment.timers.set(() => {
      this.#renewing = this.#renew(isMore);
    }, delayMs);
  }
}
