import { WaybillError } from "@waybill/core";
import type { Encoded } from "../storage/codec.ts";
import { placeOf } from "./places.ts";
import type { Transaction } from "../storage/transaction.ts";

/** Appends to the partition of its key; to one chosen by its id when it has none. */
export function appendItem(transaction: Transaction, name: string, message: Encoded): void {
  const { sql, addresses, now } = transaction;
  const stream = addresses.stream(name);
  const { header } = message.outgoing.envelope;
  const partition =
    stream?.partitions[hash(header.partitionkey ?? header.id) % stream.partitions.length];
  if (stream === undefined || partition === undefined)
    throw new WaybillError("UNROUTABLE", `There is no stream "${name}".`);
  const { offset } = sql.growPartition.get(message.bytes, partition) as { offset: number };
  sql.insertItem.run(placeOf(partition, offset), now, message.bytes, message.header, message.body);
  transaction.appended.add(stream.id);
}

/** FNV-1a over UTF-8, its bits mixed once more so that the low ones are good too. Written into stored data by what it decides: it must never change. */
export function hash(key: string): number {
  let value = 0x811c9dc5;
  for (const byte of Buffer.from(key)) value = Math.imul(value ^ byte, 0x01000193);
  value ^= value >>> 16;
  value = Math.imul(value, 0x85ebca6b);
  return (value ^ (value >>> 13)) >>> 0;
}
