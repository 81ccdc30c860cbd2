import { type Environment, type Timer, WaybillError } from "@waybill/core";
import type { Link } from "../link.ts";
import type { Parcel } from "../publisher.ts";
import { type Entry, type EntryPlace, SharedLog } from "../shared-log.ts";
import { type GroupEntry, Groups } from "./groups.ts";

export interface GroupLogParts {
  readonly queue: string;
  readonly link: Link;
  readonly environment: Environment;
  readonly send: (parcel: Parcel) => Promise<void>;
  readonly fault: (error: WaybillError) => void;
}

/** Bytes after which the sum is written once more: far fewer than the log keeps, so that who begins to read finds one. */
const summedAfter = 1024 * 1024;
/** What RabbitMQ keeps of an entry beside its text, about. */
const entryOverhead = 100;
/** Most that a process waits before it writes the sum: another may do so first. */
const sumDelayMs = 50;

/**
 * The log of a stream's groups, and its sum. The log forgets its oldest entries, so the sum of all until then is written into it from time to time; who
 * begins to read behind the first entry takes the first sum that it can continue.
 */
export class GroupLog {
  readonly #log: SharedLog;
  readonly #groups = new Groups();
  readonly #watchers = new Set<() => void>();
  /** What came before the first sum, where the beginning is missing. */
  #unsummed: { readonly entry: Entry; readonly offset: number }[] | undefined;
  readonly #environment: Environment;
  #timer: Timer | undefined;
  #first = 0;
  #last = -1;
  #sinceSum = 0;

  constructor(parts: GroupLogParts) {
    this.#environment = parts.environment;
    this.#log = new SharedLog({ ...parts, take: (entry, place) => this.#take(entry, place) });
  }

  get groups(): Groups {
    return this.#groups;
  }

  /** Called whenever something changed. Answers how to end that. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  append(entry: GroupEntry): Promise<void> {
    return this.#log.append({ ...entry });
  }

  /** Resolves when `groups` holds all that was said before. Rejects with STORAGE_INVALID when the log has no beginning. */
  async sync(): Promise<void> {
    await this.#log.sync();
    if (this.#unsummed !== undefined)
      throw new WaybillError(
        "STORAGE_INVALID",
        "The log of the stream's groups has lost its beginning: somebody changed what RabbitMQ keeps of it. Delete the queue that ends with `.groups`; groups then begin anew.",
      );
  }

  close(): Promise<void> {
    this.#timer?.cancel();
    return this.#log.close();
  }

  #take(entry: Entry, { offset, afterGap, bytes }: EntryPlace): void {
    if (afterGap) {
      this.#unsummed = [];
      this.#first = offset;
    }
    this.#last = offset;
    if (entry["kind"] === "sum") this.#takeSum(entry);
    else if (this.#unsummed === undefined) this.#groups.apply(entry);
    else this.#unsummed.push({ entry, offset });
    if (this.#unsummed !== undefined) return;
    this.#sinceSum = entry["kind"] === "sum" ? 0 : this.#sinceSum + bytes + entryOverhead;
    if (this.#sinceSum >= summedAfter) this.#sumLater();
    for (const watcher of this.#watchers) watcher();
  }

  #takeSum({ until, sum }: Entry): void {
    if (this.#unsummed === undefined || typeof until !== "number" || until < this.#first - 1)
      return;
    this.#groups.load(sum);
    for (const { entry, offset } of this.#unsummed) if (offset > until) this.#groups.apply(entry);
    this.#unsummed = undefined;
  }

  #sumLater(): void {
    const environment = this.#environment;
    this.#timer ??= environment.timers.set(() => {
      this.#timer = undefined;
      if (this.#sinceSum >= summedAfter) this.#sum();
    }, environment.random() * sumDelayMs);
  }

  #sum(): void {
    const sum: unknown = JSON.parse(JSON.stringify(this.#groups));
    // Another member writes it when this one cannot.
    this.#log.append({ kind: "sum", until: this.#last, sum }).catch(() => undefined);
  }
}
