import {
  type BookLines,
  type LedgerEntry,
  type Standing,
  ledgerEntry,
  nothingStands,
} from "@waybill/core";
import type { Address, StreamEntry } from "../addresses.ts";
import { type BookedLine, removedBook } from "./book.ts";
import type { Connection } from "../storage/connection.ts";
import { Kept } from "../queues/depths.ts";
import { placeOf } from "../streams/places.ts";
import { type Counting, count, earliest, logOf, noLog } from "../queues/states.ts";

/** Items of one partition that are counted one by one. Of more only both ends are looked at: they are large. */
const itemsCountedMax = 10_000;

type Lines = { [Line in BookedLine]?: number };
type Books = ReadonlyMap<number, ReadonlyMap<string, Lines>>;

const states = {
  ready: ["countReady", "countReadySessions"],
  inFlight: ["countLocked"],
  scheduled: ["countScheduled"],
  deferred: ["countDeferred"],
  dead: ["countDead"],
} as const satisfies Record<keyof Standing, readonly Counting[]>;

const typedStates = {
  ready: ["typesReady", "typesReadySessions"],
  inFlight: ["typesLocked"],
  scheduled: ["typesScheduled"],
  deferred: ["typesDeferred"],
  dead: ["typesDead"],
} as const;

/** Reads the books and what stands in one transaction, so that they are of one moment. Entries that were long to count are kept for a while. */
export class EmbeddedLedger {
  readonly #connection: Connection;
  readonly #kept: Kept<LedgerEntry>;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.#kept = new Kept(connection.environment.clock, countedFor);
  }

  read(): readonly LedgerEntry[] {
    const { sql, addresses } = this.#connection;
    sql.beginReading.run();
    try {
      addresses.reread();
      const books = this.#books();
      const entries = [...addresses.all()].map((address) =>
        this.#kept.of(`address ${address.id}`, () => this.#entryOf(address, books)),
      );
      const logs = [...addresses.streams()].map((stream) =>
        this.#kept.of(`log ${stream.id}`, () => this.#logOf(stream)),
      );
      return [...entries, ...logs, ...this.#removed(books)];
    } finally {
      sql.commit.run();
    }
  }

  #books(): Books {
    const books = new Map<number, Map<string, Lines>>();
    for (const row of this.#connection.sql.allBooks.all() as unknown as {
      readonly address: number;
      readonly type: string;
      readonly line: BookedLine;
      readonly count: number;
    }[]) {
      const types = books.get(row.address) ?? new Map<string, Lines>();
      books.set(row.address, types);
      const lines = types.get(row.type) ?? {};
      types.set(row.type, lines);
      lines[row.line] = row.count;
    }
    return books;
  }

  #entryOf({ id, kind, name }: Address, books: Books): LedgerEntry {
    const { sql } = this.#connection;
    const book = books.get(id) ?? new Map<string, Lines>();
    const standing = this.#standingAt(id);
    const { at } = (sql.oldestWaiting.get(id) ?? { at: null }) as { at: number | null };
    const log = kind === "stream" ? logOf(sql, id) : noLog;
    return ledgerEntry({
      address: name,
      kind,
      book: kind === "stream" ? new Map([["", linesOfGroup(book.get(""), log.ends)]]) : book,
      standing: {
        ...standing,
        ready: standing.ready + log.pending - log.begun,
        inFlight: standing.inFlight + log.begun,
      },
      oldestWaitingMs: this.#age(earliest(at, log.oldest)),
      byType: () => this.#typesAt(id, book),
    });
  }

  #logOf({ id, name }: StreamEntry): LedgerEntry {
    const { sql } = this.#connection;
    let accepted = 0;
    let retention = 0;
    let retained = 0;
    for (const partition of sql.partitionsOf.all(id) as unknown as Partition[]) {
      accepted += partition.next;
      retention += partition.first;
      retained += this.#retainedIn(partition);
    }
    return ledgerEntry({
      address: name,
      kind: "log",
      book: new Map([["", { accepted, retention }]]),
      standing: nothingStands,
      retained,
      oldestWaitingMs: 0,
    });
  }

  #retainedIn({ id, first, next }: Partition): number {
    const { sql } = this.#connection;
    const counted = count(
      sql.countItems.get(placeOf(id, 0), placeOf(id + 1, 0), itemsCountedMax + 1),
    );
    if (counted <= itemsCountedMax) return counted;
    const at = (offset: number): number =>
      count(sql.countItems.get(placeOf(id, offset), placeOf(id, offset + 1), 1));
    return next - first - 2 + at(first) + at(next - 1);
  }

  /** What is left of temporary addresses that have ended. */
  #removed(books: Books): readonly LedgerEntry[] {
    const { sql } = this.#connection;
    const book = books.get(removedBook);
    const removed = sql.removedAddresses.all() as unknown as { id: number }[];
    const inFlight = count(sql.countLockedRemoved.get());
    if (book === undefined && removed.length === 0 && inFlight === 0) return [];
    let standing: Standing = nothingStands;
    for (const { id } of removed) standing = sumOf(standing, this.#standingAt(id));
    return [
      ledgerEntry({
        address: "#removed",
        kind: "removed",
        book: new Map([["", book?.get("") ?? {}]]),
        standing: { ...standing, inFlight },
        oldestWaitingMs: 0,
      }),
    ];
  }

  #standingAt(address: number): Standing {
    const standing = { ...nothingStands };
    for (const state of Object.keys(states) as (keyof Standing)[])
      for (const counting of states[state])
        standing[state] += count(this.#connection.sql[counting].get(address));
    return standing;
  }

  #typesAt(address: number, book: ReadonlyMap<string, Lines>): ReadonlyMap<string, Standing> {
    const found = new Map<string, { -readonly [State in keyof Standing]: number }>();
    for (const state of Object.keys(typedStates) as (keyof Standing)[]) {
      for (const counting of typedStates[state]) {
        const rows = this.#connection.sql[counting].all(address) as unknown as TypeRow[];
        for (const row of rows) {
          const type = row.type !== null && book.has(row.type) ? row.type : "";
          const standing = found.get(type) ?? { ...nothingStands };
          found.set(type, standing);
          standing[state] += row.count;
        }
      }
    }
    return found;
  }

  #age(since: number | null): number {
    return since === null ? 0 : Math.max(0, this.#connection.environment.clock.now() - since);
  }
}

interface Partition {
  readonly id: number;
  readonly first: number;
  readonly next: number;
}

interface TypeRow {
  readonly type: string | null;
  readonly count: number;
}

/** What was appended since the group began counts as accepted. */
function linesOfGroup({ began = 0, accepted = 0, ...lines }: Lines = {}, ends: number): BookLines {
  return { ...lines, accepted: accepted + ends - began };
}

function sumOf(left: Standing, right: Standing): Standing {
  return {
    ready: left.ready + right.ready,
    inFlight: left.inFlight + right.inFlight,
    scheduled: left.scheduled + right.scheduled,
    deferred: left.deferred + right.deferred,
    dead: left.dead + right.dead,
  };
}

function countedFor({ waiting, deferred, dead, retained }: LedgerEntry): number {
  return waiting.ready + waiting.inFlight + waiting.scheduled + deferred + dead + retained;
}
