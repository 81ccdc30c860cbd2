import { bodyBytes } from "../envelope.ts";
import { WaybillError, messageOf } from "../errors.ts";
import { sleep } from "../ports/environment.ts";
import type { OutboxRow, Store } from "../ports/store.ts";
import type { Runtime } from "../runtime.ts";
import type { OutboxRoute } from "./outbox-routes.ts";
import { StreamLine } from "./stream-line.ts";

export type LineRuntime = Pick<
  Runtime,
  "environment" | "logger" | "counters" | "transport" | "vigil"
>;

const batchMax = 500;
const batchBytesMax = 1024 * 1024;
/** Rows read from the store at a time. */
const readMax = 500;
const backoffMs = 100;
const backoffMsMax = 10_000;
/** What is wrong is the message, not the moment. */
const refusals: readonly string[] = [
  "BODY_TOO_LARGE",
  "MESSAGE_INVALID",
  "NOT_SUPPORTED",
  "UNROUTABLE",
];

/**
 * Sends what one store's transactions have written for one broker. The rows of this process are known as soon as they are committed, so nothing is
 * polled; one batch after another, in the order of commits, each removed when the transport has confirmed it. A crash in between sends again, with
 * the same ids.
 */
export class OutboxLine {
  readonly route: OutboxRoute;
  readonly #store: Store;
  readonly #runtime: LineRuntime;
  readonly #stopping = new AbortController();
  #queue: OutboxRow[] = [];
  #bytes = 0;
  /** Of the queue, what is being sent. */
  #inHand = 0;
  /** The store has rows of this line that the queue has not. */
  #behind = false;
  /** What the queue has is another process's by now. */
  #isLost = false;
  #running: Promise<void> | undefined;
  #clearing: Promise<void> = Promise.resolve();
  /** Keys of the last read: a row can be read before this process is told that it is committed. */
  #known: ReadonlySet<number> = new Set();
  /** Keys of what was sent and still stands in the store. */
  readonly #sent = new Set<number>();
  /** Events before which older ones of their stream have yet to leave, from another process. Older than the queue. */
  readonly #waiting: StreamLine;
  /** Why the last send failed, until one succeeds. */
  trouble: string | undefined;

  constructor(route: OutboxRoute, store: Store, runtime: LineRuntime) {
    this.route = route;
    this.#store = store;
    this.#runtime = runtime;
    this.#waiting = new StreamLine(store.outbox, runtime.environment);
  }

  /** Rows that it has in memory. */
  get rows(): number {
    return this.#queue.length + this.#waiting.rows.length;
  }

  /** Bytes of their bodies. */
  get bytes(): number {
    return this.#bytes;
  }

  /** After a COMMIT, in the order of commits. */
  committed(rows: readonly OutboxRow[]): void {
    if (!this.#behind) {
      for (const row of rows) {
        if (this.#known.has(row.key)) continue;
        this.#queue.push(row);
        this.#bytes += bodyBytes(row.outgoing.envelope.body);
      }
    }
    this.#waiting.wake();
    this.#run();
  }

  /** Forgets the newest of what waits beyond this size; it is read from the store when what stands before it is sent. */
  shorten(rowsMax: number, bytesMax: number): void {
    while (
      this.#queue.length > this.#inHand &&
      (this.#queue.length > rowsMax || this.#bytes > bytesMax)
    ) {
      const dropped = this.#queue.pop();
      this.#bytes -= dropped === undefined ? 0 : bodyBytes(dropped.outgoing.envelope.body);
      this.#behind = true;
    }
  }

  /** Rows may be stored of which it was not told. */
  doubt(): void {
    this.#behind = true;
    this.#run();
  }

  /** Others took this process for dead: what it has in memory is theirs. */
  lose(): void {
    this.#isLost = true;
  }

  /** Resolves when nothing is left to send. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
    await this.#clearing;
  }

  /** Tries no more. */
  stop(): void {
    this.#stopping.abort(stopped);
  }

  #run(): void {
    if (this.#running !== undefined || this.#stopping.signal.aborted) return;
    // Whatever is committed in this turn leaves together.
    this.#running = new Promise<void>((resolve) => {
      this.#runtime.environment.timers.soon(() => resolve(this.#sendAll()));
    }).finally(() => {
      this.#running = undefined;
      if (this.#queue.length > 0 || this.#behind) this.#run();
    });
  }

  async #sendAll(): Promise<void> {
    let failures = 0;
    while (!this.#stopping.signal.aborted) {
      try {
        const batch = await this.#next();
        if (batch.length > 0) await this.#send(batch);
        else if (this.#waiting.rows.length === 0) return;
        else if (this.#queue.length === 0) await this.#waiting.pause(this.#stopping.signal);
        failures = 0;
        this.trouble = undefined;
      } catch (error) {
        failures += 1;
        this.#inHand = 0;
        this.#complain(error, failures);
        await this.#pause(failures);
      }
    }
  }

  /** The first batch, still in the queue. */
  async #next(): Promise<readonly OutboxRow[]> {
    this.#queue.unshift(...(this.#isLost ? this.#waiting.clear() : this.#waiting.take()));
    if (this.#isLost) this.#forget(this.#queue.length);
    this.#isLost = false;
    if (this.#queue.length === 0 && this.#behind) await this.#read();
    let bytes = 0;
    let count = 0;
    for (const { outgoing } of this.#queue) {
      bytes += bodyBytes(outgoing.envelope.body);
      if (count === batchMax || (count > 0 && bytes > batchBytesMax)) break;
      count += 1;
    }
    this.#inHand = count;
    const free = await this.#waiting.sift(this.#queue.slice(0, count), this.#sent);
    this.#queue.splice(0, count, ...free);
    this.#inHand = free.length;
    return free;
  }

  /** What is committed while it reads may be in both, and is kept once. */
  async #read(): Promise<void> {
    this.#behind = false;
    const waiting = this.#waiting.rows.map(({ key }) => key);
    const sent = new Set([...this.#sent, ...waiting]);
    let page: readonly OutboxRow[] = [];
    try {
      page = await this.#store.outbox.own(readMax, this.route.kinds);
    } catch (error) {
      this.#behind = true;
      throw error;
    }
    const isFull = page.length === readMax;
    const rows = page.filter(({ key }) => !sent.has(key));
    // What stands behind them shows when they are gone.
    if (isFull && rows.length === 0) await this.#clearing;
    const known = new Set([...waiting, ...rows.map(({ key }) => key)]);
    this.#known = known;
    this.#queue = isFull
      ? [...rows]
      : [...rows, ...this.#queue.filter(({ key }) => !known.has(key))];
    this.#bytes = [...this.#waiting.rows, ...this.#queue].reduce(
      (sum, row) => sum + bodyBytes(row.outgoing.envelope.body),
      0,
    );
    if (isFull) this.#behind = true;
  }

  async #send(batch: readonly OutboxRow[]): Promise<void> {
    try {
      await this.#deliver(batch);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      await this.#oneByOne(batch);
    }
  }

  /** One of them is refused; alone, each gets its own answer. */
  async #oneByOne(batch: readonly OutboxRow[]): Promise<void> {
    for (const row of batch) {
      try {
        await this.#deliver([row]);
      } catch (error) {
        if (!isRefusal(error)) throw error;
        const { code: reason, message } = error;
        await this.#store.outbox.setAside(row, { reason, message });
        this.#forget(1);
        const { id, type } = row.outgoing.envelope.header;
        this.#runtime.logger.error(
          `"${type}" was committed and the broker refuses it. It stands aside in the outbox of ${this.#store.name}; mend the cause and call bus.outbox.retry().`,
          { id, reason, error: message },
        );
      }
    }
  }

  async #deliver(batch: readonly OutboxRow[]): Promise<void> {
    const release = this.#runtime.vigil.hold();
    try {
      await this.#runtime.transport.send(batch.map(({ outgoing }) => outgoing));
    } finally {
      release();
    }
    for (const { outgoing } of batch)
      this.#runtime.counters.of(outgoing.envelope.header.type).sent += 1;
    this.#forget(batch.length);
    for (const { key } of batch) this.#sent.add(key);
    this.#clearing = Promise.all([this.#clearing, this.#clear(batch)]).then(() => undefined);
  }

  #forget(count: number): void {
    this.#inHand = Math.max(0, this.#inHand - count);
    for (const { outgoing } of this.#queue.splice(0, count))
      this.#bytes -= bodyBytes(outgoing.envelope.body);
  }

  /** Tries until they are gone: as long as they stand there they would be sent again. */
  async #clear(rows: readonly OutboxRow[]): Promise<void> {
    for (let failures = 1; ; failures++) {
      try {
        await this.#store.outbox.sent(rows);
        for (const { key } of rows) this.#sent.delete(key);
        return;
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        this.#complain(error, failures);
        await this.#pause(failures);
      }
    }
  }

  #complain(error: unknown, failures: number): void {
    this.trouble = messageOf(error);
    // The first of an outage; health() says how long it lasts.
    if (failures !== 1) return;
    const { broker } = this.route;
    const over = broker === undefined ? "" : ` over ${broker}`;
    this.#runtime.logger.warn(
      `What ${this.#store.name} has committed cannot be sent now${over}; it is tried again until it can: ${this.trouble}`,
    );
  }

  #pause(failures: number): Promise<void> {
    const { environment } = this.#runtime;
    const longest = Math.min(backoffMsMax, backoffMs * 2 ** (failures - 1));
    const paused = sleep(
      environment.timers,
      longest * (0.5 + environment.random() / 2),
      this.#stopping.signal,
    );
    return paused.catch(() => undefined);
  }
}

const stopped = new Error("The relay is closed.");

function isRefusal(error: unknown): error is WaybillError {
  return error instanceof WaybillError && !error.retryable && refusals.includes(error.code);
}
