import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Body, Codec } from "@waybill/core";
import { seededRandom } from "./random.ts";

export interface CodecSuiteOptions {
  readonly codec: Codec;
  /** What comes out as it went in, beyond what JSON knows. */
  readonly carries: { readonly dates: boolean; readonly bytes: boolean };
  /** A well-formed body that is nested so deep. */
  readonly nested: (levels: number) => Body;
  /** A body with a key `__proto__`. */
  readonly prototypeKey: Body;
  /** Bodies that must be refused, each with what the error says: lengths that lie, what the format does not know. */
  readonly hostile: readonly {
    readonly what: string;
    readonly body: Body;
    readonly says: RegExp;
  }[];
  /** Decides what is drawn at random; printed with every failure. Default 1. */
  readonly seed?: number;
}

const heapGrowthMax = 32 * 1024 * 1024;
const draws = 300;

/** Proves a codec: what it must carry, and that nothing a stranger writes harms its reader. Registers one node:test suite. */
export function codecSuite(name: string, options: CodecSuiteOptions): void {
  const { codec, seed = 1 } = options;
  describe(`codec ${name}`, () => {
    carrying(options);
    test("random values come out as they went in", () => {
      const random = seededRandom(seed);
      for (let draw = 0; draw < draws; draw++) {
        const value = randomValue(random, 4);
        assert.deepEqual(codec.decode(codec.encode(value)), value, `seed ${seed}, draw ${draw}`);
      }
    });
    test("a body stays what it is when others are encoded and decoded", () => {
      const first = codec.encode({ text: "first", more: [1, 2, 3] });
      const before = structuredClone(first);
      codec.decode(codec.encode({ text: "second".repeat(5_000) }));
      assert.deepEqual(first, before);
    });
    damaged(codec, seed);
    hostile(options);
  });
}

function carrying({ codec, carries }: CodecSuiteOptions): void {
  const back = (value: unknown): unknown => codec.decode(codec.encode(value));
  test("everything that JSON knows comes out as it went in", () => {
    for (const value of samples) assert.deepEqual(back(value), value);
  });
  test("a property that is undefined is left out", () => {
    assert.deepEqual(back({ a: undefined, b: [{ c: undefined }] }), { b: [{}] });
  });
  test("dates", { skip: carries.dates ? false : "its dates come out as text" }, () => {
    for (const date of [new Date(0), new Date(1_234_567_890_123), new Date(-86_400_001)])
      assert.deepEqual(back({ date }), { date });
    assert.throws(() => codec.encode(new Date(Number.NaN)), TypeError);
  });
  test("bytes", { skip: carries.bytes ? false : "it has no bytes" }, () => {
    for (const length of [0, 1, 255, 256, 70_000]) {
      const bytes = new Uint8Array(length).map((_, index) => index);
      assert.deepEqual((back({ bytes }) as { bytes: unknown }).bytes, bytes);
    }
  });
  test("what has no form is refused instead of bent", () => {
    for (const value of [undefined, () => 1, Symbol("s"), 1n, { a: 2n ** 70n }])
      assert.throws(() => codec.encode(value), typeof value);
  });
}

function damaged(codec: Codec, seed: number): void {
  test("no truncated body is read", () => {
    const body = codec.encode(sample);
    for (let length = 0; length < body.length; length++)
      assert.throws(() => codec.decode(body.slice(0, length)), Error, `${length} bytes`);
  });
  test("a body with flipped bits is refused or read, and harms nobody", () => {
    const random = seededRandom(seed);
    const body = Buffer.from(codec.encode(sample) as Uint8Array);
    for (let draw = 0; draw < draws * 10; draw++) {
      const changed = Uint8Array.from(body);
      const at = Math.floor(random() * changed.length);
      changed[at] = (changed[at] as number) ^ (1 << Math.floor(random() * 8));
      try {
        codec.decode(changed);
      } catch (error) {
        assert.ok(error instanceof Error, `seed ${seed}, draw ${draw}`);
      }
    }
    assert.equal(Object.keys(Object.prototype).length, 0);
  });
}

function hostile({ codec, nested, prototypeKey, hostile: bodies }: CodecSuiteOptions): void {
  test("nested 200,000 deep is refused, read and written", () => {
    assert.throws(() => codec.decode(nested(200_000)), {
      name: "TypeError",
      message: /nested deeper than/,
    });
    let deep: unknown = 1;
    for (let level = 0; level < 200_000; level++) deep = [deep];
    assert.throws(() => codec.encode(deep), { message: /nested deeper than|[Tt]oo deep/ });
  });
  test("a hundred levels are no trouble", () => {
    assert.doesNotThrow(() => codec.encode(codec.decode(nested(100))));
  });
  test("a key __proto__ is refused", () => {
    assert.throws(() => codec.decode(prototypeKey), { message: /__proto__/ });
  });
  for (const { what, body, says } of bodies) {
    test(`${what} is refused, and costs no memory`, () => {
      const before = process.memoryUsage();
      assert.throws(() => codec.decode(body), { message: says });
      const { heapUsed, external } = process.memoryUsage();
      const grown = heapUsed - before.heapUsed + external - before.external;
      assert.ok(grown < heapGrowthMax, `${grown} bytes`);
    });
  }
}

const sample = {
  text: 'grüße \u{1f600} \u0000 "quoted" \\',
  list: [1, -2, 3.5, true, null],
  inner: { empty: {}, none: [], key: "value" },
};

const samples: readonly unknown[] = [
  null,
  true,
  false,
  0,
  1,
  -1,
  127,
  128,
  -33,
  255,
  65_536,
  -2_147_483_649,
  4_294_967_296,
  Number.MAX_SAFE_INTEGER,
  Number.MIN_SAFE_INTEGER,
  0.1,
  Number.MAX_VALUE,
  Number.MIN_VALUE,
  "",
  "a",
  "ä€\u{1f600}\u0000\ufeff",
  "x".repeat(70_000),
  [],
  {},
  [[[]]],
  { "": 1, constructor: 2, toString: 3, "0": 4 },
  Array.from({ length: 70_000 }, (_, index) => index % 7),
  Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`k${index}`, index])),
  sample,
];

function randomValue(random: () => number, depth: number): unknown {
  const kind = Math.floor(random() * (depth === 0 ? 4 : 6));
  const count = Math.floor(random() * 6);
  switch (kind) {
    case 0:
      return Math.floor((random() - 0.5) * 2 ** Math.floor(random() * 53));
    case 1:
      return random();
    case 2:
      return String.fromCodePoint(
        ...Array.from({ length: count }, () => Math.floor(random() * 0xd7ff)),
      );
    case 3:
      return random() < 0.5 ? null : random() < 0.5;
    case 4:
      return Array.from({ length: count }, () => randomValue(random, depth - 1));
    default:
      return Object.fromEntries(
        Array.from({ length: count }, (_, index) => [
          `key-${index}`,
          randomValue(random, depth - 1),
        ]),
      );
  }
}
