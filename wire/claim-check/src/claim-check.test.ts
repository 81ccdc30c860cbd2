import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type Body, type Passage, memory, systemEnvironment } from "@waybill/core";
import { fakeEnvironment, wireSuite } from "@waybill/testkit";
import { type ObjectStore, claimCheck, directoryStore, sweepObjects } from "./index.ts";

const root = mkdtempSync(join(tmpdir(), "waybill-claims-"));
after(() => rmSync(root, { recursive: true }));
let directories = 0;
const newDirectory = (): string => join(root, String((directories += 1)));

const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const passage = (environment = systemEnvironment): Passage => ({
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
  environment,
  logger,
});
const arrival = { ...passage(), encoding: "claim-check", delivery: undefined };
const claimOf = (body: Body | undefined): { object: string; bytes: number; sha256: string } =>
  JSON.parse(body as string) as { object: string; bytes: number; sha256: string };

{
  const directory = newDirectory();
  wireSuite("claim check on memory", {
    wire: () => [claimCheck({ store: directoryStore({ directory }), thresholdBytes: 1_000 })],
    create: () => ({ factory: memory(), dispose: async () => {} }),
    detectsChanges: false,
  });
}

function mapStore(): ObjectStore & { readonly objects: Map<string, Uint8Array> } {
  const objects = new Map<string, Uint8Array>();
  return {
    objects,
    put: async (name, bytes) => void objects.set(name, bytes),
    get: async (name) => objects.get(name),
    delete: async (name) => void objects.delete(name),
    list: async function* () {
      yield* objects.keys();
    },
  };
}

test("a large body becomes a reference, an object of its owner only, and itself again", async () => {
  const directory = newDirectory();
  const { seal, open } = claimCheck({ store: directoryStore({ directory }), thresholdBytes: 10 });
  assert.equal(await seal("x".repeat(9), passage()), undefined);
  const sealed = await seal("ä".repeat(5_000), passage());
  const { object, bytes } = claimOf(sealed?.body);
  assert.equal(bytes, 10_000);
  assert.deepEqual(readdirSync(directory), [object]);
  assert.equal(statSync(join(directory, object)).mode & 0o777, 0o600);
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  const opened = await open(sealed?.body ?? "", arrival);
  assert.equal(Buffer.from(opened as Uint8Array).toString(), "ä".repeat(5_000));
});

test("a reference that names a path is refused before anything is opened", async () => {
  let asked = 0;
  const store = { ...mapStore(), get: async () => void (asked += 1) };
  const { open } = claimCheck({ store });
  const sha256 = "A".repeat(43);
  for (const object of [
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "..",
    ".",
    "",
    "a\u0000b",
    "A",
    "a".repeat(81),
    7,
    null,
    ["a"],
  ]) {
    await assert.rejects(
      async () => open(JSON.stringify({ object, bytes: 10, sha256 }), arrival),
      {
        code: "DECODE_FAILED",
        message:
          'The body of "test.message" is no claim check: it needs the legal name of an object, its bytes and its sha256.',
      },
      String(object),
    );
  }
  assert.equal(asked, 0);
  const real = directoryStore({ directory: newDirectory() });
  for (const work of [
    () => real.get("../x", 1),
    () => real.put("../x", new Uint8Array(1)),
    () => real.delete("../x"),
  ])
    await assert.rejects(async () => work(), { code: "OPTION_INVALID" });
});

test("what is no reference is refused", async () => {
  const { open } = claimCheck({ store: mapStore() });
  const sha256 = "A".repeat(43);
  for (const body of [
    "",
    "null",
    "[]",
    "{",
    '{"object":"a"}',
    JSON.stringify({ object: "a", bytes: -1, sha256 }),
    JSON.stringify({ object: "a", bytes: 0, sha256 }),
    JSON.stringify({ object: "a", bytes: 1e300, sha256 }),
    JSON.stringify({ object: "a", bytes: 1, sha256: "short" }),
    `{"object":"a","bytes":1,"sha256":"${sha256}"${" ".repeat(2_000)}}`,
    Uint8Array.of(0xff, 0xfe),
  ])
    await assert.rejects(async () => open(body, arrival), { code: "DECODE_FAILED" }, String(body));
});

test("an object that was changed, cut or lengthened in the store is refused", async () => {
  const directory = newDirectory();
  const { seal, open } = claimCheck({ store: directoryStore({ directory }), thresholdBytes: 10 });
  const sealed = await seal("x".repeat(10_000), passage());
  const path = join(directory, claimOf(sealed?.body).object);
  const whole = readFileSync(path);
  const changed = Buffer.from(whole);
  changed[5_000] = 0;
  for (const content of [
    changed,
    whole.subarray(1),
    Buffer.concat([whole, whole]),
    Buffer.alloc(0),
  ]) {
    writeFileSync(path, content);
    await assert.rejects(async () => open(sealed?.body ?? "", arrival), {
      code: "DECODE_FAILED",
      message: /is not the body that "test.message" was sent with: its length or its hash differs/,
    });
  }
});

test("an object that is not there fails retryably, and so does a store that fails or hangs", async () => {
  const store = mapStore();
  const wire = claimCheck({ store, thresholdBytes: 10, timeoutMs: 20 });
  const sealed = await wire.seal("x".repeat(100), passage());
  const again = claimCheck({ store: directoryStore({ directory: newDirectory() }) });
  await assert.rejects(async () => again.open(sealed?.body ?? "", arrival), {
    code: "NOT_FOUND",
    retryable: true,
    message: /which is not in the store/,
  });
  store.get = () => Promise.reject(new Error("bucket gone"));
  await assert.rejects(async () => wire.open(sealed?.body ?? "", arrival), {
    code: "STORAGE_FAILED",
    retryable: true,
    message: /could not get the object .*: bucket gone/,
  });
  store.put = () => new Promise(() => {});
  await assert.rejects(async () => wire.seal("x".repeat(100), passage()), {
    code: "STORAGE_FAILED",
    retryable: true,
    message: /could not keep the object .*: it took longer than 20 ms/,
  });
});

test("what is too large is neither kept nor fetched", async () => {
  const store = mapStore();
  const sealed = await claimCheck({ store, thresholdBytes: 10 }).seal("x".repeat(2_000), passage());
  let asked = 0;
  store.get = async () => void (asked += 1);
  const small = claimCheck({ store, thresholdBytes: 10, objectBytesMax: 1_000 });
  await assert.rejects(async () => small.seal("x".repeat(1_001), passage()), {
    code: "BODY_TOO_LARGE",
  });
  await assert.rejects(async () => small.open(sealed?.body ?? "", arrival), {
    code: "BODY_TOO_LARGE",
    message: /was not fetched/,
  });
  assert.equal(asked, 0);
});

test("objects are deleted by age, unfinished ones too, and foreign files never", async () => {
  const environment = fakeEnvironment();
  const directory = newDirectory();
  const store = directoryStore({ directory });
  const dayMs = 86_400_000;
  const { seal } = claimCheck({ store, thresholdBytes: 10, retentionMs: dayMs });
  const old = claimOf((await seal("x".repeat(100), passage(environment)))?.body).object;
  writeFileSync(join(directory, `${old.slice(0, -1)}x.part`), "half");
  writeFileSync(join(directory, "README.txt"), "foreign");
  writeFileSync(join(directory, "notes"), "foreign");
  await environment.advance(dayMs + 1);
  const young = claimOf((await seal("y".repeat(100), passage(environment)))?.body).object;
  // The sweep runs beside the put that started it.
  const giveUpAt = performance.now() + 10_000;
  while (readdirSync(directory).length > 3 && performance.now() < giveUpAt)
    await new Promise((resolve) => setTimeout(resolve, 2));
  assert.deepEqual(readdirSync(directory).toSorted(), ["README.txt", "notes", young].toSorted());
  await environment.advance(dayMs + 1);
  assert.equal(await sweepObjects(store, { olderThanMs: dayMs, environment }), 1);
  const { list: _list, ...unlisted } = mapStore();
  await assert.rejects(sweepObjects(unlisted, { olderThanMs: 1, environment }), {
    code: "NOT_SUPPORTED",
  });
});

test("options are checked", () => {
  const store = mapStore();
  for (const options of [
    { thresholdBytes: 0 },
    { objectBytesMax: 1.5 },
    { timeoutMs: 0 },
    { retentionMs: 10 },
    { retentionMs: Number.NaN },
  ])
    assert.throws(
      () => claimCheck({ store, ...options }),
      { code: "OPTION_INVALID" },
      JSON.stringify(options),
    );
  assert.throws(() => directoryStore({ directory: "" }), { code: "OPTION_INVALID" });
});
