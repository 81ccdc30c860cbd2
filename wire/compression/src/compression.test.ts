import assert from "node:assert/strict";
import { test } from "node:test";
import { brotliCompressSync, gzipSync, zstdCompressSync } from "node:zlib";
import { type Passage, memory, systemEnvironment } from "@waybill/core";
import { wireSuite } from "@waybill/testkit";
import { type Algorithm, compression } from "./index.ts";

const passage: Passage = {
  header: {
    specversion: "1.0",
    id: "1",
    source: "/services/test",
    type: "test.message",
    time: new Date(0).toISOString(),
    datacontenttype: "application/json",
    conversationid: "1",
  },
  destination: "queue/test.message",
  encodings: [],
  environment: systemEnvironment,
  logger: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
};
const arrival = (encoding: string) => ({ ...passage, encoding, delivery: undefined });

const algorithms: readonly Algorithm[] = ["brotli", "gzip", "zstd"];

for (const algorithm of algorithms) {
  wireSuite(`compression ${algorithm} on memory`, {
    wire: () => [compression({ algorithm })],
    create: () => ({ factory: memory(), dispose: async () => {} }),
    detectsChanges: false,
  });
}

test("what is short or does not shrink leaves as it is", async () => {
  const { seal } = compression({ thresholdBytes: 100 });
  assert.equal(await seal("x".repeat(99), passage), undefined);
  const noise = crypto.getRandomValues(new Uint8Array(5_000));
  assert.equal(await seal(noise, passage), undefined);
  assert.equal((await seal("x".repeat(100), passage))?.encoding, "brotli");
});

test("every algorithm is read, whichever is written", async () => {
  const plain = Buffer.from("text ".repeat(1_000));
  for (const [encoding, body] of [
    ["brotli", brotliCompressSync(plain)],
    ["gzip", gzipSync(plain)],
    ["zstd", zstdCompressSync(plain)],
  ] as const)
    assert.deepEqual(
      Buffer.from((await compression().open(body, arrival(encoding))) as Uint8Array),
      plain,
    );
});

test("a bomb of 200 MB in some hundred bytes is refused while it inflates, in bounded memory", async () => {
  const zeros = Buffer.alloc(200_000_000);
  const bombs = {
    brotli: brotliCompressSync(zeros),
    gzip: gzipSync(zeros),
    zstd: zstdCompressSync(zeros),
  };
  assert.ok(bombs.brotli.byteLength < 400);
  for (const [encoding, body] of Object.entries(bombs)) {
    const before = process.memoryUsage();
    await assert.rejects(
      async () => compression({ inflatedBytesMax: 1_000_000 }).open(body, arrival(encoding)),
      {
        code: "BODY_TOO_LARGE",
        message:
          'The body of "test.message" inflates to more than 1000000 bytes and was left alone. If its sender means it, raise compression({ inflatedBytesMax }).',
      },
      encoding,
    );
    const { external, arrayBuffers } = process.memoryUsage();
    const grown = external - before.external + arrayBuffers - before.arrayBuffers;
    assert.ok(grown < 16_000_000, `${encoding}: ${grown} bytes`);
  }
});

test("a body of exactly the bound inflates, one byte more does not", async () => {
  for (const bytes of [10_000, 3_000_000]) {
    const { open } = compression({ inflatedBytesMax: bytes });
    for (const [encoding, deflate] of Object.entries({
      brotli: brotliCompressSync,
      gzip: gzipSync,
      zstd: zstdCompressSync,
    })) {
      assert.equal((await open(deflate(Buffer.alloc(bytes)), arrival(encoding))).length, bytes);
      await assert.rejects(async () => open(deflate(Buffer.alloc(bytes + 1)), arrival(encoding)), {
        code: "BODY_TOO_LARGE",
      });
    }
  }
});

test("a sender does not compress what no receiver inflates", async () => {
  const { seal } = compression({ inflatedBytesMax: 2_000 });
  assert.equal((await seal("x".repeat(2_000), passage))?.encoding, "brotli");
  assert.equal(await seal("x".repeat(2_001), passage), undefined);
});

test("cut and changed data are refused", async () => {
  const plain = Buffer.from(JSON.stringify(Array.from({ length: 500 }, (_, index) => index)));
  const bodies = {
    brotli: brotliCompressSync(plain),
    gzip: gzipSync(plain),
    zstd: zstdCompressSync(plain),
  };
  for (const [encoding, body] of Object.entries(bodies)) {
    for (const cut of [0, 1, 5, body.length - 1])
      await assert.rejects(
        async () => compression().open(body.subarray(0, cut), arrival(encoding)),
        { code: "DECODE_FAILED", message: /is no whole (brotli|gzip|zstd) data/ },
        `${encoding} cut at ${cut}`,
      );
  }
  await assert.rejects(async () => compression().open("text", arrival("gzip")), {
    code: "DECODE_FAILED",
  });
});

test("options are checked", () => {
  for (const options of [
    { algorithm: "lzma" as never },
    { thresholdBytes: -1 },
    { thresholdBytes: 1.5 },
    { inflatedBytesMax: 0 },
    { inflatedBytesMax: 2 ** 31 },
    { inflatedBytesMax: Number.NaN },
  ])
    assert.throws(() => compression(options), { code: "OPTION_INVALID" }, JSON.stringify(options));
});
