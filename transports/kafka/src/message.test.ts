import assert from "node:assert/strict";
import { test } from "node:test";
import { readMessage } from "./message.ts";

test("a record of which the time is no moment, and that is a tombstone, can be read", () => {
  const place = { topic: "t", partition: 0, offset: 3n, key: null, value: null, headers: [] };
  for (const timestampMs of [9e15, -9e15, -1]) {
    const { envelope } = readMessage({ ...place, timestampMs });
    assert.equal(envelope.header.id, "t-0-3");
    assert.ok(Number.isFinite(Date.parse(envelope.header.time)), envelope.header.time);
    assert.equal(Buffer.from(envelope.body).byteLength, 0);
  }
});
