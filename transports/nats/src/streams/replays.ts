import type { StoredMsg } from "@nats-io/jetstream";
import { brokerError, isMissing } from "../errors.ts";
import type { Link } from "../link.ts";
import { readMessage } from "../message.ts";
import type { Names } from "../topology.ts";
import type { Cursor } from "./cursor.ts";
import type { StreamDelivery, StreamItem } from "./delivery.ts";

export interface ReplaysParts {
  readonly link: Link;
  readonly names: Names;
  /** `stream@group`. */
  readonly address: string;
  readonly partition: number;
}

/** Something that was put back to the group. */
export interface Replay {
  readonly sequence: number;
  readonly item: StreamItem;
  attempt: number;
  state: "waiting" | "handing" | "open" | "ending" | "done";
  delivery: StreamDelivery | undefined;
}

/** Most that wait here; the others stay where they are until there is room. */
const waitingMax = 64;

/** What was put back to a group in one partition. Only who reads the partition reads it; the cursor says how often each was tried. */
export class Replays {
  readonly #parts: ReplaysParts;
  readonly #known = new Map<number, Replay>();
  /** Of what was not looked at yet. */
  readonly #before: Map<number, number>;
  #seen = 0;
  #isScanning = false;
  #scanning: Promise<void> = Promise.resolve();
  #scansAgain = false;

  constructor(parts: ReplaysParts, { replays }: Pick<Cursor, "replays">) {
    this.#parts = parts;
    this.#before = new Map(
      Object.entries(replays).map(([sequence, attempts]) => [Number(sequence), attempts]),
    );
  }

  get waiting(): readonly Replay[] {
    return [...this.#known.values()].filter(({ state }) => state === "waiting");
  }

  get isBusy(): boolean {
    return [...this.#known.values()].some(({ state }) => state === "handing" || state === "open");
  }

  get deliveries(): readonly StreamDelivery[] {
    return [...this.#known.values()].flatMap(({ delivery }) => delivery ?? []);
  }

  /** For the cursor. */
  get attempts(): Cursor["replays"] {
    const attempts: Record<string, number> = {};
    for (const [sequence, count] of this.#before) attempts[sequence] = count;
    for (const { sequence, state, attempt } of this.#known.values()) {
      if (state === "done") continue;
      const count = state === "ending" ? 0 : state === "waiting" ? attempt - 1 : attempt;
      if (count > 0 || state === "ending") attempts[sequence] = count;
    }
    return attempts;
  }

  /** Looks whether something new is there. Rejects when that cannot be told. */
  scan(): Promise<void> {
    this.#scansAgain = true;
    if (!this.#isScanning) this.#scanning = this.#scan();
    return this.#scanning;
  }

  /** It is done, and that is written down. */
  async remove(replay: Replay): Promise<void> {
    await this.#remove(replay.sequence);
    replay.state = "done";
  }

  async #scan(): Promise<void> {
    this.#isScanning = true;
    try {
      while (this.#scansAgain) {
        this.#scansAgain = false;
        await this.#readOn();
      }
    } finally {
      this.#isScanning = false;
    }
  }

  async #readOn(): Promise<void> {
    while (this.waiting.length < waitingMax) {
      const stored = await this.#after(this.#seen);
      if (stored === undefined) break;
      this.#seen = stored.seq;
      const before = this.#before.get(stored.seq);
      if (before === 0) await this.#remove(stored.seq);
      else this.#known.set(stored.seq, this.#read(stored, before ?? 0));
      this.#before.delete(stored.seq);
    }
    // What is not there any more was removed after all.
    for (const sequence of this.#before.keys())
      if (sequence <= this.#seen) this.#before.delete(sequence);
    for (const [sequence, { state }] of this.#known)
      if (state === "done") this.#known.delete(sequence);
  }

  async #after(sequence: number): Promise<StoredMsg | undefined> {
    const { link, names, address, partition } = this.#parts;
    const next_by_subj = names.replaySubject(address, partition, "*");
    try {
      const query = { seq: sequence + 1, next_by_subj };
      return (
        (await link.jetstream.streams.getMessage(names.replayStream(address), query)) ?? undefined
      );
    } catch (thrown) {
      if (isMissing(thrown)) return undefined;
      throw brokerError(`Looking for what was put back to "${address}"`, thrown);
    }
  }

  async #remove(sequence: number): Promise<void> {
    const { link, names, address } = this.#parts;
    // What stays is removed by who comes to it next: the cursor says that it is done.
    await link.jetstream.streams
      .deleteMessage(names.replayStream(address), sequence, false)
      .catch(() => false);
  }

  #read(stored: StoredMsg, before: number): Replay {
    const { address, partition } = this.#parts;
    const token = stored.subject.slice(stored.subject.lastIndexOf(".") + 1);
    const { data, header: headers, seq: sequence } = stored;
    const taken = { at: stored.time.getTime(), name: `${address}.${token}` };
    const { envelope, enqueuedAt, failure } = readMessage({ data, headers }, taken);
    const offset = offsetIn(token);
    return {
      sequence,
      state: "waiting",
      delivery: undefined,
      attempt: before + 1,
      item: {
        envelope,
        enqueuedAt,
        failure,
        token,
        position: { partition, offset },
        bytes: data.byteLength,
      },
    };
  }
}

/** A dead letter of a group is named after the place at which it stood. */
export function tokenOf({ position: { partition, offset } }: StreamItem, unique: string): string {
  return `${partition}-${offset}-${unique}`;
}

/** Undefined for what is no such name. */
export function partitionIn(token: string): number | undefined {
  const partition = Number.parseInt(token.split("-", 1)[0] ?? "", 10);
  return Number.isSafeInteger(partition) ? partition : undefined;
}

export function offsetIn(token: string): number {
  return Number(token.split("-", 2)[1] ?? 0);
}
