import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { WaybillError } from "@waybill/core";
import { type LogMessage, type Tuple, readMessage } from "./pgoutput.ts";

/** As the server writes it. */
class Writer {
  readonly #parts: Buffer[] = [];

  text(text: string): this {
    this.#parts.push(Buffer.from(text));
    return this;
  }

  name(text: string): this {
    return this.text(`${text}\0`);
  }

  int(bytes: 1 | 2 | 4, value: number): this {
    const part = Buffer.alloc(bytes);
    part.writeUIntBE(value, 0, bytes);
    this.#parts.push(part);
    return this;
  }

  int64(value: bigint): this {
    const part = Buffer.alloc(8);
    part.writeBigUInt64BE(BigInt.asUintN(64, value));
    this.#parts.push(part);
    return this;
  }

  tuple(tuple: Tuple): this {
    this.int(2, tuple.length);
    for (const value of tuple)
      if (value === null) this.text("n");
      else if (value === undefined) this.text("u");
      else this.text("t").int(4, Buffer.byteLength(value)).text(value);
    return this;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

const epochMs = 946_684_800_000;

function written(message: LogMessage): Buffer {
  const to = new Writer();
  switch (message.kind) {
    case "begin":
      return to
        .text("B")
        .int64(message.commitLsn)
        .int64(BigInt(message.committedAt.getTime() - epochMs) * 1_000n)
        .int(4, message.transaction).bytes;
    case "commit":
      return to.text("C").int(1, 0).int64(1n).int64(message.endLsn).int64(0n).bytes;
    case "relation": {
      const { id, schema, table, columns } = message.relation;
      to.text("R").int(4, id).name(schema).name(table).text("d").int(2, columns.length);
      for (const { name, type } of columns)
        to.int(1, 1).name(name).int(4, type).int(4, 0xffff_ffff);
      return to.bytes;
    }
    case "insert":
      return to.text("I").int(4, message.relation).text("N").tuple(message.row).bytes;
    case "update": {
      to.text("U").int(4, message.relation);
      if (message.old !== undefined)
        to.text(message.old.isKey ? "K" : "O").tuple(message.old.values);
      return to.text("N").tuple(message.row).bytes;
    }
    case "delete":
      return to
        .text("D")
        .int(4, message.relation)
        .text(message.old.isKey ? "K" : "O")
        .tuple(message.old.values).bytes;
    case "truncate":
      to.text("T").int(4, message.relations.length).int(1, 0);
      for (const id of message.relations) to.int(4, id);
      return to.bytes;
    case "other":
      return to.text("Y").bytes;
  }
}

const oid = fc.nat({ max: 0xffff_ffff });
const name = fc.string({ minLength: 1 }).map((text) => text.replaceAll("\0", "_"));
const value = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.constantFrom(null, undefined, "\uFEFFa"),
);
const tuple = fc.array(value, { maxLength: 8 });
const old = fc.record({ isKey: fc.boolean(), values: tuple });
const lsn = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
const message: fc.Arbitrary<LogMessage> = fc.oneof(
  fc.record({
    kind: fc.constant("begin" as const),
    commitLsn: lsn,
    committedAt: fc.date({ min: new Date(0), max: new Date(8e12), noInvalidDate: true }),
    transaction: oid,
  }),
  fc.record({ kind: fc.constant("commit" as const), endLsn: lsn }),
  fc.record({
    kind: fc.constant("relation" as const),
    relation: fc.record({
      id: oid,
      schema: name,
      table: name,
      columns: fc.array(fc.record({ name, type: oid }), { maxLength: 8 }),
    }),
  }),
  fc.record({ kind: fc.constant("insert" as const), relation: oid, row: tuple }),
  fc.record({
    kind: fc.constant("update" as const),
    relation: oid,
    old: fc.option(old, { nil: undefined }),
    row: tuple,
  }),
  fc.record({ kind: fc.constant("delete" as const), relation: oid, old }),
  fc.record({ kind: fc.constant("truncate" as const), relations: fc.array(oid, { maxLength: 5 }) }),
);

/** It is read, or refused as what it is. */
function readOrRefused(bytes: Buffer): LogMessage | undefined {
  try {
    return readMessage(bytes);
  } catch (error) {
    assert.ok(error instanceof WaybillError, String(error));
    assert.equal(error.code, "DECODE_FAILED");
    return undefined;
  }
}

test("what the server writes is read", () => {
  fc.assert(
    fc.property(message, (each) => {
      assert.deepEqual(readMessage(written(each)), structuredClone(each));
    }),
  );
});

test("what is cut off or followed by more is refused, wherever", () => {
  fc.assert(
    fc.property(message, fc.uint8Array({ minLength: 1, maxLength: 4 }), (each, more) => {
      const bytes = written(each);
      for (let length = 0; length < bytes.length; length += 1)
        assert.equal(readOrRefused(bytes.subarray(0, length)), undefined, `${length} bytes`);
      assert.equal(readOrRefused(Buffer.concat([bytes, more])), undefined);
    }),
  );
});

test("what is damaged is refused or read as something, and never anything else", () => {
  fc.assert(
    fc.property(message, fc.nat(), fc.integer({ min: 1, max: 255 }), (each, at, flip) => {
      const bytes = Buffer.from(written(each));
      const index = at % bytes.length;
      bytes[index] = (bytes[index] ?? 0) ^ flip;
      readOrRefused(bytes);
    }),
    { numRuns: 2_000 },
  );
  fc.assert(fc.property(fc.uint8Array(), (bytes) => void readOrRefused(Buffer.from(bytes))));
});

test("a text that is not UTF-8 is refused and not repaired", () => {
  const bytes = new Writer().text("I").int(4, 1).text("Nxxx").bytes;
  bytes.writeUInt16BE(1, 6);
  const broken = Buffer.concat([bytes, Buffer.from([0x74, 0, 0, 0, 1, 0xff])]);
  assert.equal(readOrRefused(broken), undefined);
});
