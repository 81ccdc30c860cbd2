import { type AnySchema, type Contract, type VersionOptions, contractBase } from "./contract.ts";
import type { Schema, Validated } from "./schema.ts";

/** A partitioned, retained log. Written with `append`, read with `consume` by groups that keep their own offsets. */
export interface Stream<Name extends string = string, Item = any> extends Contract<"stream", Name> {
  readonly item: Schema<Item>;
  /** Items of one key stand in one partition and keep their order. */
  readonly key: (item: Item) => string;
  readonly partitions: number;
  readonly retention: Retention;
}

/** How long items stay. What leaves by retention leaves without having been read by a slow group: size it for the slowest. */
export interface Retention {
  /** Age in milliseconds after which an item may be removed. Default 7 days. */
  readonly ageMs?: number;
  /** Bytes of body per partition above which the oldest items may be removed. Default: no bound by size. */
  readonly bytes?: number;
}

export interface StreamOptions<Item extends AnySchema> extends VersionOptions {
  readonly item: Item;
  readonly key: (item: Validated<Item>) => string;
  /** Whole number from 1 to 256. Fixed once the stream exists: a change would move keys between partitions. Default 8. */
  readonly partitions?: number;
  readonly retention?: Retention;
}

const retentionDefault: Retention = { ageMs: 7 * 24 * 60 * 60 * 1000 };
const partitionsDefault = 8;

/**
 * Declares a stream.
 *
 * @example
 * export const Readings = stream("telemetry.readings", { item: Reading, key: (reading) => reading.deviceId });
 */
export function stream<const Name extends string, Item extends AnySchema>(
  name: Name,
  options: StreamOptions<Item>,
): Stream<Name, Validated<Item>> {
  return Object.freeze({
    ...contractBase("stream", name, options),
    item: options.item,
    key: options.key,
    partitions: options.partitions ?? partitionsDefault,
    retention: options.retention ?? retentionDefault,
  });
}
