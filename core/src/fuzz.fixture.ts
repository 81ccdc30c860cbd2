/** A seeded generator of numbers in [0, 1): mulberry32 (public domain). */
function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const strange: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1e308,
  Number.NaN,
  "",
  "\0",
  "a\r\nb",
  "\uD800",
  "__proto__",
  "x".repeat(5_000),
  [],
  {},
  [[[]]],
  JSON.parse('{"__proto__":{"polluted":true}}'),
];

/** What hostile senders do to real messages; the same seed does the same. */
export class Mutator {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seeded(seed);
  }

  chance(part: number): boolean {
    return this.#random() < part;
  }

  below(count: number): number {
    return Math.floor(this.#random() * count);
  }

  pick<Value>(values: readonly Value[]): Value {
    return values[this.below(values.length)] as Value;
  }

  /** Cuts, repeats, flips and swaps pieces of a text. */
  text(text: string): string {
    let mutated = text;
    for (let times = 1 + this.below(4); times > 0; times--) {
      const at = this.below(mutated.length + 1);
      const end = Math.min(mutated.length, at + this.below(12));
      const piece = mutated.slice(at, end);
      mutated =
        mutated.slice(0, at) +
        this.pick([
          "",
          piece + piece,
          String.fromCharCode(this.below(0x1_0000)),
          "[".repeat(40),
          '"',
          "\\u0000",
          "1e999",
        ]) +
        mutated.slice(end);
    }
    return mutated;
  }

  bytes(text: string): Uint8Array {
    const bytes = Buffer.from(this.text(text));
    for (let times = this.below(4); times > 0 && bytes.length > 0; times--)
      bytes[this.below(bytes.length)] = this.below(256);
    return bytes;
  }

  /** Another value of the same shape, with some of its parts replaced. */
  value(value: unknown, depth = 0): unknown {
    if (this.chance(0.15)) return this.pick(strange);
    if (typeof value === "string" && this.chance(0.3)) return this.text(value);
    if (typeof value !== "object" || value === null || depth > 8) return value;
    if (Array.isArray(value)) return value.map((each) => this.value(each, depth + 1));
    const entries = Object.entries(value).map(([name, each]) => [
      this.chance(0.05) ? this.text(name) : name,
      this.value(each, depth + 1),
    ]);
    return Object.fromEntries(entries) as unknown;
  }
}
