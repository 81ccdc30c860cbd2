/**
 * An item's place in the one table of all partitions: partition id above, offset below. So each partition lies in
 * one piece, in order, under a key of one integer. 2^17 partitions of 2^36 items fit into the integers that are exact in JavaScript.
 */
const offsetsPerPartition = 2 ** 36;
export const partitionIdMax: number = 2 ** 17 - 1;

export function placeOf(partition: number, offset: number): number {
  return partition * offsetsPerPartition + offset;
}

export function partitionOf(place: number): number {
  return Math.floor(place / offsetsPerPartition);
}

export function offsetOf(place: number): number {
  return place % offsetsPerPartition;
}
