import { WaybillError } from "@waybill/core";
import { partitionHash } from "@waybill/core/adapter";
import type { Encoded } from "../storage/codec.ts";
import { placeOf } from "./places.ts";
import type { Transaction } from "../storage/transaction.ts";

/** Appends to the partition of its key; to one chosen by its id when it has none. */
export function appendItem(transaction: Transaction, name: string, message: Encoded): void {
  const { sql, addresses, now } = transaction;
  const stream = addresses.stream(name);
  const { header } = message.outgoing.envelope;
  const partition =
    stream?.partitions[partitionHash(header.partitionkey ?? header.id) % stream.partitions.length];
  if (stream === undefined || partition === undefined)
    throw new WaybillError("UNROUTABLE", `There is no stream "${name}".`);
  const { offset } = sql.growPartition.get(message.bytes, partition) as { offset: number };
  sql.insertItem.run(placeOf(partition, offset), now, message.bytes, message.header, message.body);
  transaction.appended.add(stream.id);
}
