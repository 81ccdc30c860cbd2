import type { Header } from "@waybill/core";
import { partitionHash } from "@waybill/core/adapter";

/** The partition of an item: that of its key, or one by its id. Every process must come to the same, for ever: where items lie follows from it. */
export function partitionOf({ partitionkey, id }: Header, partitions: number): number {
  return partitionHash(partitionkey ?? id) % partitions;
}
