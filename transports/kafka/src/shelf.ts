import { handleOf, readHandle } from "@waybill/core/adapter";
import type { Log } from "./log.ts";
import type { Stored } from "./message.ts";

/** How much is kept in memory of where messages lie. */
export interface Room {
  readonly messagesMax: number;
  readonly bytesMax: number;
}

export interface ShelfParts {
  readonly log: Pick<Log, "ends" | "read">;
  readonly topic: string;
  readonly room: Room;
}

/** Messages that lie somewhere from one offset to another, oldest first. */
interface Stretch {
  readonly offsets: Map<string, bigint>;
  readonly from: bigint;
  /** Undefined: to the end of the topic, also when it grows. */
  to: bigint | undefined;
}

/** What a token costs beside its letters: its offset, and its place in a map. */
const entryBytes = 100;
const beginning = 0n;

/**
 * Which messages lie in a compacted topic, by their tokens. No body is kept, only where it lies, and that of one stretch of the topic for which there is
 * room: of all of it, as long as it fits. Where it does not, pages behind the stretch, counts and single tokens are looked for in the topic, which costs
 * reading it; while that is done, up to three times the room is taken.
 */
export class Shelf {
  readonly #parts: ShelfParts;
  #stretch: Stretch = emptyStretch();
  /** To where the topic was read. */
  #next = beginning;
  #counted: { readonly next: bigint; readonly count: number } | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: ShelfParts) {
    this.#parts = parts;
  }

  /** How many messages it keeps the place of. */
  get kept(): number {
    return this.#stretch.offsets.size;
  }

  /** What that costs, about. */
  get keptBytes(): number {
    return bytesOf(this.#stretch.offsets);
  }

  /** Where it lies; undefined when it does not any more. */
  find(token: string): Promise<bigint | undefined> {
    return this.#look(() => this.#find(token));
  }

  /** Where the oldest lie behind that token: behind none when it is gone. */
  page(after: string | undefined, limit: number): Promise<ReadonlyMap<bigint, string>> {
    return this.#look(async () => {
      const behind = after === undefined ? undefined : await this.#find(after);
      let from = behind === undefined ? beginning : behind + 1n;
      const page = new Map<bigint, string>();
      while (page.size < limit && from < this.#next) {
        if (!this.#covers(from)) this.#stretch = await this.#survey(from);
        for (const [token, offset] of this.#stretch.offsets) {
          if (page.size === limit) break;
          if (offset >= from) page.set(offset, token);
        }
        from = this.#stretch.to ?? this.#next;
      }
      return page;
    });
  }

  count(): Promise<number> {
    return this.#look(async () => {
      if (this.#isWhole) return this.kept;
      if (this.#counted?.next === this.#next) return this.#counted.count;
      let count = 0;
      const all: Stretch = { offsets: new Map(), from: beginning, to: undefined };
      const take = this.#adding(all);
      for (let from: bigint | undefined = beginning; from !== undefined;) {
        const found: Stretch = await this.#survey(from);
        count += found.offsets.size;
        for (const [token, offset] of found.offsets) take(token, offset);
        from = found.to;
      }
      // So many have left that the rest fits again.
      if (all.to === undefined) this.#stretch = all;
      this.#counted = { next: this.#next, count };
      return count;
    });
  }

  /** The oldest from an offset on that there is room for, and where to go on. */
  stretch(from: bigint): Promise<{ tokens: readonly string[]; to: bigint | undefined }> {
    return this.#look(async () => {
      if (from !== this.#stretch.from) this.#stretch = await this.#survey(from);
      const { offsets, to } = this.#stretch;
      return { tokens: [...offsets.keys()], to };
    });
  }

  get #isWhole(): boolean {
    return this.#stretch.from === beginning && this.#stretch.to === undefined;
  }

  #covers(offset: bigint): boolean {
    const { from, to } = this.#stretch;
    return from <= offset && (to === undefined || offset < to);
  }

  /** One after the other, each having read what came until then. */
  async #look<Answer>(answer: () => Promise<Answer>): Promise<Answer> {
    const looking = this.#last.then(async () => {
      await this.#readOn();
      return answer();
    });
    this.#last = looking.catch(() => undefined);
    return looking;
  }

  async #readOn(): Promise<void> {
    const { log, topic } = this.#parts;
    const ends = (await log.ends(topic))?.[0];
    // Somebody deleted the topic; whoever makes it again begins at 0.
    if (ends === undefined || ends.next < this.#next) {
      this.#stretch = emptyStretch();
      this.#counted = undefined;
      this.#next = beginning;
    }
    if (ends === undefined) return;
    const take = this.#taking(this.#stretch);
    this.#next = await log.read(topic, 0, { from: this.#next, each: take });
  }

  /** Of what it says until the end that is known: the oldest messages from there on that there is room for. */
  async #survey(from: bigint): Promise<Stretch> {
    const { log, topic } = this.#parts;
    const found: Stretch = { offsets: new Map(), from, to: undefined };
    const end = this.#next;
    const take = this.#taking(found);
    // The last batch may hold more, which is read on later.
    const each = (record: Stored): void => void (record.offset < end && take(record));
    await log.read(topic, 0, { from, to: end, each });
    return found;
  }

  /** Takes records up in their order: the newest of a token counts, and none counts that has no body. */
  #taking(stretch: Stretch): (record: Stored) => void {
    const add = this.#adding(stretch);
    return ({ key, value, offset }) => {
      const token = tokenOf(key);
      if (token !== undefined) add(token, value === null ? undefined : offset);
    };
  }

  /** Undefined as the offset takes away. What there is no room for ends the stretch. */
  #adding(stretch: Stretch): (token: string, offset: bigint | undefined) => void {
    const { messagesMax, bytesMax } = this.#parts.room;
    const { offsets } = stretch;
    let bytes = bytesOf(offsets);
    return (token, offset) => {
      const cost = costOf(token);
      if (offsets.delete(token)) bytes -= cost;
      if (offset === undefined || stretch.to !== undefined) return;
      if (offsets.size >= messagesMax || bytes + cost > bytesMax) {
        stretch.to = offset;
        return;
      }
      offsets.set(token, offset);
      bytes += cost;
    };
  }

  async #find(token: string): Promise<bigint | undefined> {
    const known = this.#stretch.offsets.get(token);
    if (known !== undefined || this.#isWhole) return known;
    const { log, topic } = this.#parts;
    const end = this.#next;
    let found: bigint | undefined;
    const each = ({ key, value, offset }: Stored): void => {
      if (offset < end && tokenOf(key) === token) found = value === null ? undefined : offset;
    };
    await log.read(topic, 0, { from: beginning, to: end, each });
    return found;
  }
}

function emptyStretch(): Stretch {
  return { offsets: new Map(), from: beginning, to: undefined };
}

/** Undefined for what others wrote, which no handle could name. */
function tokenOf(key: Buffer | null): string | undefined {
  const token = key?.toString() ?? "";
  return isToken(token) ? token : undefined;
}

/** Whether a handle can be made of it. */
export function isToken(text: string): boolean {
  return readHandle(handleOf("any", text))?.token === text;
}

function costOf(token: string): number {
  return entryBytes + token.length;
}

function bytesOf(offsets: ReadonlyMap<string, bigint>): number {
  let bytes = 0;
  for (const token of offsets.keys()) bytes += costOf(token);
  return bytes;
}
