import assert from "node:assert/strict";
import { test } from "node:test";
import { memory } from "@waybill/core";
import { fakeEnvironment, wireSuite } from "@waybill/testkit";
import { CompactEncrypt } from "jose";
import { encryption } from "./index.ts";
import { ed25519, open, seal, secret, secretKey } from "./testing.fixture.ts";

const january = secretKey("2030-01", 1);
const february = secretKey("2030-02", 2);
const text = '{"card":"4711"}';
const unauthorised = (message: RegExp) => ({ code: "UNAUTHORISED", retryable: false, message });

wireSuite("encryption on memory", {
  wire: () => [encryption({ current: january })],
  create: () => ({ factory: memory(), dispose: async () => {} }),
  detectsChanges: true,
});

test("a body cannot be read on its way, and no two sealings are alike", async () => {
  const wire = encryption({ current: january });
  const [first, second] = [await seal(wire, text), await seal(wire, text)];
  assert.notEqual(first.body, second.body);
  assert.ok(!String(first.body).includes("4711"));
  assert.ok(!Buffer.from(String(first.body).split(".")[3] ?? "", "base64url").includes("4711"));
  assert.equal(Buffer.from((await open(wire, first)) as Uint8Array).toString(), text);
});

test("rotation: receivers get the new key first, senders change over, the old one stays until its messages are handled", async () => {
  const before = encryption({ current: january });
  const ready = encryption({ current: january, others: [february] });
  const changed = encryption({ current: february, others: [january] });
  const after = encryption({ current: february });
  for (const [sender, receiver] of [
    [before, ready],
    [ready, changed],
    [changed, ready],
    [changed, after],
  ] as const)
    assert.equal(
      Buffer.from((await open(receiver, await seal(sender, text))) as Uint8Array).toString(),
      text,
    );
  await assert.rejects(
    open(after, await seal(before, text)),
    unauthorised(/names the key "2030-01", which encryption\(\) of this bus does not have/),
  );
});

test("a wrong key of the right name is refused", async () => {
  const sealed = await seal(encryption({ current: secretKey("k", 1) }), text);
  await assert.rejects(
    open(encryption({ current: secretKey("k", 2) }), sealed),
    unauthorised(/does not open with the key "k"/),
  );
});

test("an expired key neither seals nor opens", async () => {
  const environment = fakeEnvironment();
  const expiresAt = new Date(environment.clock.now() + 1_000);
  const wire = encryption({ current: secretKey("k", 1, expiresAt) });
  const sealed = await seal(wire, text, { environment });
  await open(wire, sealed, { environment });
  await environment.advance(1_000);
  const expired = unauthorised(
    /The key "k" of encryption\(\), which "test.message" needs, expired at /,
  );
  await assert.rejects(seal(wire, text, { environment }), expired);
  await assert.rejects(open(wire, sealed, { environment }), expired);
});

test("a body moved into another message, type or queue is refused", async () => {
  const wire = encryption({ current: january });
  const sealed = await seal(wire, text);
  for (const crossing of [
    { header: { id: "other" } },
    { header: { type: "other.type" } },
    { destination: "queue/other" },
  ])
    await assert.rejects(open(wire, sealed, crossing), unauthorised(/belongs to another message/));
});

test("a changed or cut ciphertext is refused, byte by byte", async () => {
  const wire = encryption({ current: january });
  const sealed = await seal(wire, text);
  const token = String(sealed.body);
  for (let at = 0; at < token.length; at += 3) {
    const letter = token[at] === "A" ? "B" : "A";
    const body = token.slice(0, at) + letter + token.slice(at + 1);
    // The last letter of a part may hold bits that are not used.
    const same = body
      .split(".")
      .every((part, index) =>
        Buffer.from(part, "base64url").equals(
          Buffer.from(token.split(".")[index] ?? "", "base64url"),
        ),
      );
    if (!same)
      await assert.rejects(open(wire, { ...sealed, body }), { code: "UNAUTHORISED" }, `at ${at}`);
    await assert.rejects(
      open(wire, { ...sealed, body: token.slice(0, at) }),
      { code: "UNAUTHORISED" },
      `cut at ${at}`,
    );
  }
});

test("other algorithms are refused, dir and none included", async () => {
  const wire = encryption({ current: january });
  const sealed = await seal(wire, text);
  const header = { kid: "2030-01", id: "message-1", typ: "test.message", to: "queue/test.message" };
  const direct = await new CompactEncrypt(Buffer.from(text))
    .setProtectedHeader({ ...header, alg: "dir", enc: "A256GCM" })
    .encrypt(secret(1));
  const cbc = await new CompactEncrypt(Buffer.from(text))
    .setProtectedHeader({ ...header, alg: "A256KW", enc: "A128CBC-HS256" })
    .encrypt(secret(1));
  const parts = String(sealed.body).split(".");
  const none = [
    Buffer.from(JSON.stringify({ ...header, alg: "none", enc: "A256GCM" })).toString("base64url"),
    ...parts.slice(1),
  ].join(".");
  for (const body of [direct, cbc, none])
    await assert.rejects(
      open(wire, { ...sealed, body }),
      unauthorised(/encrypted by another algorithm than A256KW with A256GCM/),
    );
});

test("what is no JWE at all is refused", async () => {
  const wire = encryption({ current: january });
  const sealed = await seal(wire, text);
  for (const body of ["", "....", "a.b.c.d.e", text, new Uint8Array(500), "e30....", "bnVsbA...."])
    await assert.rejects(open(wire, { ...sealed, body }), { code: "UNAUTHORISED" }, String(body));
});

test("keys are checked", () => {
  const invalid = { code: "OPTION_INVALID" };
  assert.throws(() => encryption({ current: { kid: "k", key: secret(1, 16) } }), invalid);
  assert.throws(() => encryption({ current: { kid: "k", key: ed25519().privateKey } }), invalid);
  assert.throws(() => encryption({ current: { kid: "", key: secret(1) } }), invalid);
  assert.throws(() => encryption({ current: january, others: [secretKey("2030-01", 2)] }), invalid);
  assert.throws(() => encryption({ current: secretKey("k", 1, new Date(Number.NaN)) }), invalid);
});
