import assert from "node:assert/strict";
import { type KeyObject, createSecretKey, generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { type Arrival, type Header, memory } from "@waybill/core";
import { fakeEnvironment, wireSuite } from "@waybill/testkit";
import { SignJWT } from "jose";
import { type SigningOptions, replayMemory, signing } from "./index.ts";
import { type Stored, open, seal, secret, secretKey } from "./testing.fixture.ts";

const text = '{"cents":100}';
const shared: SigningOptions = { algorithm: "HS256", current: secretKey("h1", 1) };
const unauthorised = (message: RegExp) => ({ code: "UNAUTHORISED", retryable: false, message });
const notFitting = unauthorised(
  /The signature of ".*" does not fit: its header or body was changed/,
);

const pair = (): { publicKey: KeyObject; privateKey: KeyObject } => generateKeyPairSync("ed25519");
const p256 = (): { publicKey: KeyObject; privateKey: KeyObject } =>
  generateKeyPairSync("ec", { namedCurve: "P-256" });
const edKeys = pair();
const ecKeys = p256();

for (const options of [
  shared,
  { algorithm: "EdDSA", current: { kid: "e", key: edKeys.privateKey } },
  { algorithm: "ES256", current: { kid: "p", key: ecKeys.privateKey } },
] as const) {
  wireSuite(`signing ${options.algorithm} on memory`, {
    wire: () => [signing(options)],
    create: () => ({ factory: memory(), dispose: async () => {} }),
    detectsChanges: true,
  });
}

test("the body stays readable, and the signature stands in the header", async () => {
  const { body, header } = await seal(signing(shared), text);
  assert.equal(body, text);
  assert.match(header.signature ?? "", /^[\w-]+\.\.[\w-]+$/);
});

test("a change of body, id, source, type, time, destination or what else is signed is refused", async () => {
  const wire = signing(shared);
  const full: Partial<Header> = {
    subject: "s",
    dataschema: "urn:waybill:test.message:1",
    correlationid: "c1",
    replyto: "replies.a",
    deadline: new Date(4e12).toISOString(),
    sequence: "1",
    partitionkey: "k",
    dedupid: "d",
    resumefrom: "1",
  };
  const sealed = await seal(wire, text, { header: full });
  await open(wire, sealed);
  const fields = ["id", "source", "type", "time", "datacontenttype", ...Object.keys(full)] as const;
  for (const field of fields) {
    const value = field === "time" ? new Date(Date.now() - 1_000).toISOString() : "other";
    await assert.rejects(open(wire, sealed, { header: { [field]: value } }), notFitting, field);
    if (field in full) {
      const { [field as "subject"]: _dropped, ...header } = sealed.header;
      await assert.rejects(open(wire, { ...sealed, header }), notFitting, `${field} dropped`);
    }
  }
  await assert.rejects(open(wire, sealed, { destination: "queue/other" }), notFitting);
  await assert.rejects(open(wire, { ...sealed, body: '{"cents":999}' }), notFitting);
});

test("what brokers and tracers may change is not covered", async () => {
  const wire = signing(shared);
  const sealed = await seal(wire, text);
  await open(wire, sealed, {
    header: { attributes: { a: 1 }, traceparent: "00-0-0-00", tracestate: "x=y" },
  });
});

async function resigned(sealed: Stored, alg: string, key: KeyObject): Promise<Stored> {
  const token = await new SignJWT({}).setProtectedHeader({ alg, kid: "e", jti: "1" }).sign(key);
  const [protectedPart, , signature] = token.split(".");
  return { ...sealed, header: { ...sealed.header, signature: `${protectedPart}..${signature}` } };
}

test("alg none, another algorithm and the public key as a secret are refused before a key is touched", async () => {
  const wire = signing({ algorithm: "EdDSA", current: { kid: "e", key: edKeys.privateKey } });
  const sealed = await seal(wire, text);
  const head = Buffer.from(JSON.stringify({ alg: "none", kid: "e", jti: "1" })).toString(
    "base64url",
  );
  for (const signature of [`${head}..`, `${head}..AA`]) {
    await assert.rejects(
      open(wire, { ...sealed, header: { ...sealed.header, signature } }),
      unauthorised(/signed by the algorithm "none"; only EdDSA is accepted|no detached JWS/),
    );
  }
  const publicBytes = edKeys.publicKey.export({ type: "spki", format: "der" });
  const confused = await resigned(sealed, "HS256", createSecretKey(publicBytes));
  await assert.rejects(
    open(wire, confused),
    unauthorised(/signed by the algorithm "HS256"; only EdDSA is accepted/),
  );
});

test("an unknown kid, and the kid of another key, are refused", async () => {
  const other = { kid: "h2", key: createSecretKey(secret(2)) };
  const wire = signing({ ...shared, trusted: [other] });
  const stranger = signing({ algorithm: "HS256", current: secretKey("h9", 9) });
  await assert.rejects(
    open(wire, await seal(stranger, text)),
    unauthorised(/names the key "h9", which signing\(\) of this bus does not have/),
  );
  // The stranger's key under a name that is known.
  const confused = signing({ algorithm: "HS256", current: secretKey("h2", 9) });
  await assert.rejects(open(wire, await seal(confused, text)), notFitting);
  for (const kid of [undefined, 7, "__proto__", "../h1", "x".repeat(10_000)]) {
    const head = Buffer.from(JSON.stringify({ alg: "HS256", kid, jti: "1" })).toString("base64url");
    const sealed = await seal(wire, text);
    await assert.rejects(
      open(wire, { ...sealed, header: { ...sealed.header, signature: `${head}..AA` } }),
      { code: "UNAUTHORISED" },
      String(kid),
    );
  }
});

test("a key speaks for its services only", async () => {
  const keys = pair();
  const billing = signing({ algorithm: "EdDSA", current: { kid: "b", key: keys.privateKey } });
  const wire = signing({
    algorithm: "EdDSA",
    current: { kid: "e", key: edKeys.privateKey },
    trusted: [{ kid: "b", key: keys.publicKey, sources: ["/services/billing"] }],
  });
  await open(wire, await seal(billing, text, { header: { source: "/services/billing" } }));
  await assert.rejects(
    open(wire, await seal(billing, text)),
    unauthorised(
      /says that it is from \/services\/ordering, and is signed with the key "b" of \/services\/billing/,
    ),
  );
});

test("an expired key neither signs nor is trusted", async () => {
  const environment = fakeEnvironment();
  const expiresAt = new Date(environment.clock.now() + 5_000);
  const wire = signing({ algorithm: "HS256", current: secretKey("h1", 1, expiresAt) });
  const sealed = await seal(wire, text, { environment });
  await environment.advance(5_000);
  const expired = unauthorised(
    /The key "h1" of signing\(\), which "test.message" needs, expired at /,
  );
  await assert.rejects(open(wire, sealed, { environment }), expired);
  await assert.rejects(seal(wire, text, { environment }), expired);
});

test("rotation: the older key is trusted while it is in the ring", async () => {
  const old = secretKey("h1", 1);
  const sealed = await seal(signing(shared), text);
  await open(signing({ algorithm: "HS256", current: secretKey("h2", 2), trusted: [old] }), sealed);
  await assert.rejects(
    open(signing({ algorithm: "HS256", current: secretKey("h2", 2) }), sealed),
    unauthorised(/names the key "h1"/),
  );
});

test("a message from the future or from too long ago is refused, within the skew it is not", async () => {
  const environment = fakeEnvironment();
  const wire = signing({ ...shared, replay: { ageMsMax: 60_000, skewMs: 1_000 } });
  const at = (offsetMs: number): Partial<Header> => ({
    time: new Date(environment.clock.now() + offsetMs).toISOString(),
  });
  await open(wire, await seal(wire, text, { environment, header: at(1_000) }), { environment });
  await open(wire, await seal(wire, text, { environment, header: at(-60_000) }), { environment });
  await assert.rejects(
    open(wire, await seal(wire, text, { environment, header: at(1_001) }), { environment }),
    unauthorised(/more than 1000 ms in the future/),
  );
  await assert.rejects(
    open(wire, await seal(wire, text, { environment, header: at(-60_001) }), { environment }),
    unauthorised(/more than 60000 ms ago/),
  );
  await assert.rejects(
    open(wire, await seal(wire, text, { environment, header: { time: "soon" } }), { environment }),
    unauthorised(/in the future/),
  );
});

interface FakeDelivery {
  readonly delivery: NonNullable<Arrival["delivery"]>;
  end(how: "completed" | "back"): void;
}

function delivered(
  attempt: number,
  place: Partial<NonNullable<Arrival["delivery"]>> = {},
): FakeDelivery {
  const ends: ((end: "completed" | "back") => void)[] = [];
  return {
    delivery: {
      address: "q",
      attempt,
      position: undefined,
      onEnd: (callback) => void ends.push(callback),
      ...place,
    },
    end: (how) => ends.splice(0).forEach((callback) => callback(how)),
  };
}

const copy = unauthorised(/is a copy of a message that came before; it was not handled again/);

test("a copy is refused while its like is in hand and after it was completed", async () => {
  const wire = signing(shared);
  const sealed = await seal(wire, text);
  const first = delivered(1);
  await open(wire, sealed, { delivery: first.delivery });
  await assert.rejects(open(wire, sealed, { delivery: delivered(1).delivery }), copy);
  first.end("completed");
  await assert.rejects(open(wire, sealed, { delivery: delivered(1).delivery }), copy);
  await assert.rejects(open(wire, sealed, { delivery: delivered(2).delivery }), copy);
});

test("a message that comes again is no copy: after a failure, with a higher attempt, at another subscription", async () => {
  const wire = signing(shared);
  const sealed = await seal(wire, text);
  const first = delivered(1);
  await open(wire, sealed, { delivery: first.delivery });
  first.end("back");
  const second = delivered(1);
  await open(wire, sealed, { delivery: second.delivery });
  // The lock of the second was lost, and nobody has told it yet.
  await open(wire, sealed, { delivery: delivered(2).delivery });
  await open(wire, sealed, { delivery: delivered(1, { address: "topic/other" }).delivery });
});

test("two messages with one id and one body are two messages", async () => {
  const wire = signing(shared);
  for (const sealed of [await seal(wire, text), await seal(wire, text)]) {
    const one = delivered(1);
    await open(wire, sealed, { delivery: one.delivery });
    one.end("completed");
  }
});

test("an item of a stream may be read again from its place, and a copy at another place is refused", async () => {
  const wire = signing(shared);
  const sealed = await seal(wire, text);
  const address = "log@group";
  const here = { address, position: { partition: 0, offset: 7 } };
  const first = delivered(1, here);
  await open(wire, sealed, { delivery: first.delivery });
  first.end("completed");
  await open(wire, sealed, { delivery: delivered(1, here).delivery });
  await assert.rejects(
    open(wire, sealed, {
      delivery: delivered(1, { address, position: { partition: 0, offset: 8 } }).delivery,
    }),
    copy,
  );
});

test("the memory of handled messages is bounded and forgets the oldest", async () => {
  const memoryOfTwo = replayMemory(2);
  for (const key of ["a", "b", "c"]) void memoryOfTwo.set(key, "", 0);
  assert.deepEqual(
    [memoryOfTwo.get("a"), memoryOfTwo.get("b"), memoryOfTwo.get("c")],
    [undefined, "", ""],
  );
});

test("a memory that is shared between processes refuses the copy in another one", async () => {
  const remembered = replayMemory(100);
  const [one, two] = [
    signing({ ...shared, replay: { memory: remembered } }),
    signing({ ...shared, replay: { memory: remembered } }),
  ];
  const sealed = await seal(one, text);
  const first = delivered(1);
  await open(one, sealed, { delivery: first.delivery });
  first.end("completed");
  await assert.rejects(open(two, sealed, { delivery: delivered(1).delivery }), copy);
});

test("what is no detached JWS is refused", async () => {
  const wire = signing(shared);
  const sealed = await seal(wire, text);
  for (const signature of [
    undefined,
    "",
    "..",
    "a",
    "a.b.c",
    "a..b",
    "x".repeat(9_000),
    7,
    null,
    "e30..AA",
    "bnVsbA..AA",
  ])
    await assert.rejects(
      open(wire, { ...sealed, header: { ...sealed.header, signature: signature as string } }),
      { code: "UNAUTHORISED" },
      String(signature).slice(0, 20),
    );
});

test("keys and bounds are checked", () => {
  const invalid = { code: "OPTION_INVALID" };
  const { publicKey, privateKey } = pair();
  const wrong: readonly SigningOptions[] = [
    { algorithm: "HS256", current: { kid: "k", key: secret(1, 31) } },
    { algorithm: "HS256", current: { kid: "k", key: privateKey } },
    { algorithm: "EdDSA", current: { kid: "k", key: publicKey } },
    { algorithm: "EdDSA", current: { kid: "k", key: secret(1) } },
    { algorithm: "EdDSA", current: { kid: "k", key: ecKeys.privateKey } },
    {
      algorithm: "ES256",
      current: { kid: "k", key: generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey },
    },
    { ...shared, trusted: [secretKey("h1", 3)] },
    { ...shared, trusted: [{ kid: "e", key: publicKey }] },
    { ...shared, replay: { ageMsMax: 1 } },
    { ...shared, replay: { skewMs: -1 } },
    { ...shared, replay: { rememberedMax: 0 } },
  ];
  for (const options of wrong) assert.throws(() => signing(options), invalid);
});
