import type { Environment } from "../ports/environment.ts";
import type { Outbox, OutboxRow } from "../ports/store.ts";

const pauseMs = 5;
const pauseMsMax = 100;

/**
 * Keeps the events of a stream in its order where several processes send them: one that was written while an older one of its stream waited to be
 * sent leaves when that one has left. Nobody tells of it, so the store is asked; without such events it is not.
 */
export class StreamLine {
  readonly #outbox: Outbox;
  readonly #environment: Environment;
  #rows: OutboxRow[] = [];
  /** Times in a row that some had to go on waiting. */
  #turns = 0;
  #dueAt = 0;
  #wake: (() => void) | undefined;

  constructor(outbox: Outbox, environment: Environment) {
    this.#outbox = outbox;
    this.#environment = environment;
  }

  /** What waits, oldest first. */
  get rows(): readonly OutboxRow[] {
    return this.#rows;
  }

  /** Keeps what may not leave with this batch, and answers the rest. `sent` has left and still stands in the store. */
  async sift(
    batch: readonly OutboxRow[],
    sent: ReadonlySet<number>,
  ): Promise<readonly OutboxRow[]> {
    const names = new Set(batch.flatMap((row) => (row.isBehind === true ? [row.stream] : [])));
    if (names.size === 0) return batch;
    const waiting = await this.#outbox.streams([...names] as string[]);
    const gone = new Set(sent);
    const free: OutboxRow[] = [];
    for (const row of batch) {
      const { key, stream = "", isBehind = false } = row;
      const isFree =
        !isBehind || (waiting.get(stream) ?? []).every((other) => other >= key || gone.has(other));
      if (isFree) gone.add(key);
      (isFree ? free : this.#rows).push(row);
    }
    if (this.#rows.length > 0) {
      const longest = Math.min(pauseMsMax, pauseMs * 2 ** Math.min(this.#turns, 10));
      this.#dueAt = this.#environment.clock.monotonic() + longest;
      this.#turns += 1;
    } else this.#turns = 0;
    return free;
  }

  /** Those that wait, where it is time to try them again. */
  take(): readonly OutboxRow[] {
    if (this.#rows.length === 0 || this.#environment.clock.monotonic() < this.#dueAt) return [];
    return this.clear();
  }

  clear(): readonly OutboxRow[] {
    const rows = this.#rows;
    this.#rows = [];
    return rows;
  }

  /** Until it is time to try again, or there is something else to do. */
  async pause(signal: AbortSignal): Promise<void> {
    const { clock, timers } = this.#environment;
    await new Promise<void>((resolve) => {
      const timer = timers.set(() => this.#wake?.(), Math.max(1, this.#dueAt - clock.monotonic()));
      const end = (): void => {
        timer.cancel();
        this.#wake = undefined;
        signal.removeEventListener("abort", end);
        resolve();
      };
      this.#wake = end;
      signal.addEventListener("abort", end, { once: true });
    });
  }

  wake(): void {
    this.#wake?.();
  }
}
