import { type BookLine, bookTypesMax } from "@waybill/core";
import type { Statements } from "../storage/statements.ts";

/** `began`: the sum of the offsets at which a group's book begins. */
export type BookedLine = BookLine | "began";

interface Entry {
  readonly type: string;
  readonly line: BookedLine;
  count: number;
}

/** Under it stand the books of the temporary addresses that have ended. */
export const removedBook = 0;

/**
 * What one transaction has to write into the books: gathered while it runs and written once before its COMMIT, so that counts and messages
 * cannot differ, and a batch costs as much as one message.
 */
export class Book {
  readonly #pages = new Map<number, Entry[]>();
  #address = -1;
  #page: Entry[] = [];

  count(address: number, type: string, line: BookedLine): void {
    this.#entry(address, type, line).count += 1;
  }

  /** As `count`, of what has no type: the items of a group, and what goes with a temporary address. */
  countMany(address: number, line: BookedLine, count: number): void {
    if (count !== 0) this.#entry(address, "", line).count += count;
  }

  /** `isLive`: whether there is such an address; what comes to a removed one goes to the book of all of them. */
  write(sql: Statements, types: BookTypes, isLive: (address: number) => boolean): void {
    for (const [address, entries] of this.#pages) {
      const live = isLive(address);
      for (const { type, line, count } of entries) {
        if (count === 0) continue;
        if (live) sql.addCount.run(address, types.booked(address, type), line, count);
        else sql.addCount.run(removedBook, "", line, count);
      }
    }
  }

  #entry(address: number, type: string, line: BookedLine): Entry {
    if (address !== this.#address) this.#open(address);
    for (const entry of this.#page) if (entry.line === line && entry.type === type) return entry;
    const entry = { type, line, count: 0 };
    this.#page.push(entry);
    return entry;
  }

  #open(address: number): void {
    this.#address = address;
    this.#page = this.#pages.get(address) ?? [];
    this.#pages.set(address, this.#page);
  }
}

/** The types that have lines of their own. None ever loses them, so what was read once holds for ever. */
export class BookTypes {
  readonly #sql: Statements;
  readonly #known = new Map<number, Set<string>>();

  constructor(sql: Statements) {
    this.#sql = sql;
  }

  /** The type under which a message is booked: its own, or "" for one that came when there were too many. */
  booked(address: number, type: string): string {
    if (type === "" || this.#known.get(address)?.has(type) === true) return type;
    if ((this.#known.get(address)?.size ?? 0) < bookTypesMax) {
      const rows = this.#sql.bookTypes.all(address) as unknown as { type: string }[];
      const known = new Set(rows.map((row) => row.type).filter((each) => each !== ""));
      // Not the new one: it is known when it is stored.
      this.#known.set(address, known);
      if (known.has(type) || known.size < bookTypesMax) return type;
    }
    return "";
  }
}
