import assert from "node:assert/strict";
import { test } from "node:test";
import type { Settled, Settlement } from "../ports/transport.ts";
import { handleOf, readHandle } from "./handles.ts";
import { HeldDelivery } from "./held-delivery.ts";
import { fnv1a, partitionHash } from "./partition-hash.ts";
import { attributesIn, failureIn, parsedJson, wholeNumber } from "./reading.ts";

const keys = ["", "a", "device-1", "München", "😀", "\ud800"];

test("keys keep their partition for ever: where items lie follows from the hash", () => {
  assert.deepEqual(
    keys.map(partitionHash),
    [1_572_119_809, 1_469_464_775, 3_470_696_374, 417_150_232, 1_355_015_173, 2_757_467_802],
  );
  assert.deepEqual(
    keys.map(fnv1a),
    [2_166_136_261, 3_826_002_220, 3_380_757_265, 3_205_892_275, 866_293_256, 55_024_714],
  );
});

test("a handle names an address and a token, whatever bars stand in the address", () => {
  for (const address of ["orders", "orders/", "orders/audit", "odd|name"])
    assert.deepEqual(readHandle(handleOf(address, "0-17")), { address, token: "0-17" });
  for (const text of ["", "orders", "|7", "orders|", "orders|7 8", `orders|${"7".repeat(81)}`])
    assert.equal(readHandle(text), undefined, text);
});

test("what is nonsense counts as missing", () => {
  assert.deepEqual(["", "{", '{"a":1}'].map(parsedJson), [undefined, undefined, { a: 1 }]);
  const numbers = [undefined, "", "0", "17", "-1", "1.5", "1e400", "many", "9000000000000000"];
  assert.deepEqual(numbers.map(wholeNumber), [
    undefined,
    undefined,
    0,
    17,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
  for (const odd of [undefined, null, "text", 1, []]) {
    assert.equal(attributesIn(odd), undefined);
    assert.equal(failureIn(odd), undefined);
  }
  const texts = { reason: "X", message: "", service: "", handler: "" };
  const failure = { ...texts, attempts: 1, firstFailedAt: 0, lastFailedAt: 8_640_000_000_000_000 };
  assert.deepEqual(failureIn({ ...failure, more: 1 }), { ...failure, more: 1 });
  for (const [name, value] of [
    ...Object.keys(failure).map((each) => [each, undefined] as const),
    ...Object.keys(texts).map((each) => [each, 7] as const),
    ["stack", {}],
    ["attempts", "1"],
    ["firstFailedAt", 0.5],
    ["lastFailedAt", 9_000_000_000_000_000],
  ] as const)
    assert.equal(failureIn({ ...failure, [name]: value }), undefined, name);
});

class Held extends HeldDelivery {
  readonly envelope = { header: {} as never, body: "" };
  readonly attempt = 1;
  readonly enqueuedAt = 0;
  readonly failure = undefined;
  readonly handle = undefined;
  readonly position = undefined;
  readonly session = undefined;
  refusal: Error | undefined;

  protected async end(_settlement: Settlement): Promise<Settled> {
    if (this.refusal !== undefined) throw this.refusal;
    return "settled";
  }
}

test("a held delivery settles once", async () => {
  const delivery = new Held();
  const both = [delivery.settle({ kind: "complete" }), delivery.settle({ kind: "complete" })];
  assert.deepEqual(await Promise.all(both), ["settled", "lockLost"]);
});

test("a held delivery can be settled otherwise when a settlement was refused", async () => {
  const delivery = new Held();
  delivery.refusal = new Error("no room");
  await assert.rejects(delivery.settle({ kind: "complete" }), /no room/);
  delivery.refusal = undefined;
  assert.equal(await delivery.settle({ kind: "release" }), "settled");
});

test("a lock is lost once, and not after the delivery was settled", async () => {
  const [lost, settled] = [new Held(), new Held()];
  const told: string[] = [];
  lost.onLockLost = () => void told.push("lost");
  settled.onLockLost = () => void told.push("settled");
  await settled.settle({ kind: "complete" });
  for (const delivery of [lost, lost, settled]) delivery.lose();
  assert.deepEqual(told, ["lost"]);
  assert.equal(await lost.settle({ kind: "complete" }), "lockLost");
});
