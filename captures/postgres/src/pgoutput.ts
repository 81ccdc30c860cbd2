import { Bytes, broken } from "./bytes.ts";

/** A row as text: null is NULL, undefined is a value that the update has left and the log does not hold. */
export type Tuple = readonly (string | null | undefined)[];

export interface RelationColumn {
  readonly name: string;
  /** The oid of its type. */
  readonly type: number;
}

/** A table as it stood when the change was made. */
export interface Relation {
  readonly id: number;
  readonly schema: string;
  readonly table: string;
  readonly columns: readonly RelationColumn[];
}

export interface OldRow {
  readonly values: Tuple;
  /** It has the columns of the key and no others. */
  readonly isKey: boolean;
}

export type LogMessage =
  | {
      readonly kind: "begin";
      readonly commitLsn: bigint;
      readonly committedAt: Date;
      readonly transaction: number;
    }
  | { readonly kind: "commit"; readonly endLsn: bigint }
  | { readonly kind: "relation"; readonly relation: Relation }
  | { readonly kind: "insert"; readonly relation: number; readonly row: Tuple }
  | {
      readonly kind: "update";
      readonly relation: number;
      readonly old: OldRow | undefined;
      readonly row: Tuple;
    }
  | { readonly kind: "delete"; readonly relation: number; readonly old: OldRow }
  | { readonly kind: "truncate"; readonly relations: readonly number[] }
  | { readonly kind: "other" };

/** Between 1970 and 2000, where PostgreSQL's time begins. */
const epochMs = 946_684_800_000;
/** The most that a table can have. */
const columnsMax = 1_664;

/**
 * Reads one message of the plugin `pgoutput`, protocol version 1
 * (https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html). Error: DECODE_FAILED.
 */
export function readMessage(message: Buffer): LogMessage {
  const bytes = new Bytes(message);
  const read = read1(bytes);
  if (read.kind !== "other" && !bytes.isAtEnd) throw broken(`${read.kind} is followed by more`);
  return read;
}

function read1(bytes: Bytes): LogMessage {
  const tag = bytes.character();
  switch (tag) {
    case "B": {
      const commitLsn = bytes.lsn();
      const committedAt = moment(bytes);
      return { kind: "begin", commitLsn, committedAt, transaction: bytes.int32() };
    }
    case "C": {
      bytes.skip(1 + 8);
      const endLsn = bytes.lsn();
      bytes.skip(8);
      return { kind: "commit", endLsn };
    }
    case "R":
      return { kind: "relation", relation: relation(bytes) };
    case "I": {
      const id = bytes.int32();
      expect(bytes, "N");
      return { kind: "insert", relation: id, row: tuple(bytes) };
    }
    case "U":
      return update(bytes);
    case "D": {
      const id = bytes.int32();
      return { kind: "delete", relation: id, old: old(bytes, bytes.character()) };
    }
    case "T": {
      const count = bytes.int32();
      bytes.skip(1);
      const relations: number[] = [];
      for (let index = 0; index < count; index += 1) relations.push(bytes.int32());
      return { kind: "truncate", relations };
    }
    // Types, origins and messages of pg_logical_emit_message: nothing that a table holds.
    case "Y":
    case "O":
    case "M":
      return { kind: "other" };
    default:
      throw broken(`${JSON.stringify(tag)} is no kind of message`);
  }
}

function moment(bytes: Bytes): Date {
  const at = new Date(Number(bytes.int64() / 1_000n) + epochMs);
  if (Number.isNaN(at.getTime())) throw broken("a time is none");
  return at;
}

function relation(bytes: Bytes): Relation {
  const id = bytes.int32();
  const schema = bytes.name();
  const table = bytes.name();
  bytes.skip(1);
  const columns: RelationColumn[] = [];
  for (let left = countOf(bytes); left > 0; left -= 1) {
    bytes.skip(1);
    const name = bytes.name();
    columns.push({ name, type: bytes.int32() });
    bytes.skip(4);
  }
  // A system schema is written as none.
  return { id, schema: schema === "" ? "pg_catalog" : schema, table, columns };
}

function update(bytes: Bytes): LogMessage {
  const id = bytes.int32();
  const tag = bytes.character();
  if (tag === "N") return { kind: "update", relation: id, old: undefined, row: tuple(bytes) };
  const before = old(bytes, tag);
  expect(bytes, "N");
  return { kind: "update", relation: id, old: before, row: tuple(bytes) };
}

function old(bytes: Bytes, tag: string): OldRow {
  if (tag !== "K" && tag !== "O") throw broken(`${JSON.stringify(tag)} is no kind of row`);
  return { isKey: tag === "K", values: tuple(bytes) };
}

function tuple(bytes: Bytes): Tuple {
  const values: (string | null | undefined)[] = [];
  for (let left = countOf(bytes); left > 0; left -= 1) values.push(value(bytes));
  return values;
}

function value(bytes: Bytes): string | null | undefined {
  const tag = bytes.character();
  switch (tag) {
    case "n":
      return null;
    case "u":
      return undefined;
    case "t":
      return bytes.text(bytes.int32());
    default:
      throw broken(`${JSON.stringify(tag)} is no kind of value`);
  }
}

function countOf(bytes: Bytes): number {
  const count = bytes.int16();
  if (count > columnsMax) throw broken(`a table has ${count} columns`);
  return count;
}

function expect(bytes: Bytes, wanted: string): void {
  const tag = bytes.character();
  if (tag !== wanted) throw broken(`${JSON.stringify(tag)} stands where ${wanted} is wanted`);
}
