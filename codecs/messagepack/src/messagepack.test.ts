import assert from "node:assert/strict";
import { test } from "node:test";
import { memory } from "@waybill/core";
import { codecSuite, wireSuite } from "@waybill/testkit";
import { messagePackCodec } from "./index.ts";

const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values);
const text = (value: string): number[] => [0xa0 + value.length, ...Buffer.from(value)];

codecSuite("MessagePack", {
  codec: messagePackCodec,
  carries: { dates: true, bytes: true },
  nested,
  prototypeKey: bytes(0x81, ...text("__proto__"), 0x80),
  hostile: [
    { what: "an empty body", body: bytes(), says: /^it ends too early$/ },
    { what: "text instead of bytes", body: "{}", says: /^it is text; MessagePack is bytes/ },
    {
      what: "an array of 4,294,967,295 elements",
      body: bytes(0xdd, 255, 255, 255, 255),
      says: /^it ends too early$/,
    },
    {
      what: "a map of 4,294,967,295 entries",
      body: bytes(0xdf, 255, 255, 255, 255),
      says: /^it ends too early$/,
    },
    { what: "text of 4 GiB", body: bytes(0xdb, 255, 255, 255, 255), says: /^it ends too early$/ },
    { what: "bytes of 4 GiB", body: bytes(0xc6, 255, 255, 255, 255), says: /^it ends too early$/ },
    {
      what: "an extension of 4 GiB",
      body: bytes(0xc9, 255, 255, 255, 255, 1),
      says: /^it ends too early$/,
    },
    {
      what: "arrays in arrays that each announce a million",
      body: announced(),
      says: /^it ends too early$/,
    },
    {
      what: "an unknown extension",
      body: bytes(0xd4, 7, 0),
      says: /^it holds an extension of type 7; only timestamps are known$/,
    },
    {
      what: "a timestamp of no known length",
      body: bytes(0xd5, 0xff, 0, 0),
      says: /^it holds a timestamp of 2 bytes$/,
    },
    {
      what: "an integer beyond 2^53",
      body: bytes(0xcf, 255, 255, 255, 255, 255, 255, 255, 255),
      says: /^it holds the integer 18446744073709551615/,
    },
    {
      what: "text that is not UTF-8",
      body: bytes(0xa1, 0xff),
      says: /^it holds text that is not UTF-8$/,
    },
    { what: "the byte that means nothing", body: bytes(0xc1), says: /^it holds the byte c1/ },
    {
      what: "bytes after the value",
      body: bytes(0xc0, 0xc0),
      says: /^1 bytes are left over at its end$/,
    },
    { what: "a key that is a map", body: bytes(0x81, 0x80, 0xc0), says: /key/ },
  ],
});

function nested(levels: number): Uint8Array {
  const body = new Uint8Array(levels + 1).fill(0x91);
  body[levels] = 0xc0;
  return body;
}

/** Without the look ahead each level would make room for a million elements. */
function announced(): Uint8Array {
  const body = new Uint8Array(1_000_000).fill(0xc0);
  for (let level = 0; level < 400; level++) body.set([0xdd, 0x00, 0x0e, 0x00, 0x00], level * 5);
  return body;
}

test("Map, Set and bigint are refused by name", () => {
  for (const [value, says] of [
    [new Map([[1, 2]]), /a Map has no MessagePack form/],
    [{ a: new Set([1]) }, /a Set has no MessagePack form/],
    [[1n], /the bigint 1 has no form/],
  ] as const)
    assert.throws(() => messagePackCodec.encode(value), { name: "TypeError", message: says });
});

test("numbers that JSON cannot write come out as they went in", () => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
    assert.deepEqual(messagePackCodec.decode(messagePackCodec.encode(value)), value);
});

wireSuite("MessagePack on memory", {
  codec: messagePackCodec,
  wire: () => [],
  create: () => ({ factory: memory(), dispose: async () => {} }),
  detectsChanges: false,
});
