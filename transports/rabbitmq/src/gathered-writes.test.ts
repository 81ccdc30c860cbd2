import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { gatherWrites } from "./gathered-writes.ts";

/** Takes down what leaves together. */
function line(): { readonly stream: Duplex; readonly left: string[][] } {
  const left: string[][] = [];
  const stream = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      left.push([chunk.toString()]);
      done();
    },
    writev: (chunks: readonly { readonly chunk: Buffer }[], done) => {
      left.push(chunks.map(({ chunk }) => chunk.toString()));
      done();
    },
  });
  gatherWrites(stream);
  return { stream, left };
}

test("what is written in one breath leaves in one piece, in its order", async () => {
  const { stream, left } = line();
  for (const text of ["one", "two", "three"]) stream.write(text);
  assert.deepEqual(left, []);
  await Promise.resolve();
  assert.deepEqual(left, [["one", "two", "three"]]);
});

test("the next breath is a piece of its own, and an end waits for what was written", async () => {
  const { stream, left } = line();
  stream.write("one");
  await Promise.resolve();
  stream.write("two");
  stream.end("three");
  await new Promise((resolve) => stream.once("finish", resolve));
  assert.deepEqual(left.flat(), ["one", "two", "three"]);
  assert.deepEqual(left[0], ["one"]);
});
