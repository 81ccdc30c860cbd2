import { type BookLine, type BookLines, bookTypesMax } from "../ports/ledger.ts";

/** What came to one address and what became of it, by type. Counted where it happens, never read back by what delivers. */
export class Book {
  readonly #types = new Map<string, { [Line in BookLine]?: number }>();
  readonly #typesMax: number;
  #lastType = "";
  #last: { [Line in BookLine]?: number } | undefined;

  /** Of so many types each has lines of its own; the others share those of "". */
  constructor(typesMax: number = bookTypesMax) {
    this.#typesMax = typesMax;
  }

  count(type: string, line: BookLine, count = 1): void {
    const lines = type === this.#lastType && this.#last !== undefined ? this.#last : this.#of(type);
    lines[line] = (lines[line] ?? 0) + count;
  }

  /** Takes over what another one counted, without its types. */
  absorb(other: Book): void {
    for (const lines of other.lines().values())
      for (const [line, count] of Object.entries(lines) as [BookLine, number][])
        this.count("", line, count);
  }

  lines(): ReadonlyMap<string, BookLines> {
    return this.#types;
  }

  /** The type under which it is counted. */
  typeOf(type: string): string {
    return this.#types.has(type) || this.#types.size < this.#typesMax ? type : "";
  }

  #of(type: string): { [Line in BookLine]?: number } {
    const counted = this.typeOf(type);
    const lines = this.#types.get(counted) ?? {};
    this.#types.set(counted, lines);
    this.#lastType = type;
    this.#last = lines;
    return lines;
  }
}
