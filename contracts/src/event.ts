import {
  type AnySchema,
  type Attributes,
  type Contract,
  type DedupOptions,
  type VersionOptions,
  contractBase,
} from "./contract.ts";
import type { Schema, Validated } from "./schema.ts";

/** Something that happened; many services may react. Published with `publish`, received with `on`. */
export interface Event<
  Name extends string = string,
  Payload = any,
  Shown extends Attributes = any,
> extends Contract<"event", Name> {
  readonly payload: Schema<Payload>;
  /** What rules may filter on. */
  readonly attributes: (payload: Payload) => Shown;
  /** Topic shared with other events, to keep the order across them. Default: the contract's own name. */
  readonly topic: string;
  /** For how long the broker recognises a message that is sent twice, in milliseconds; absent: not at all. */
  readonly dedupMs?: number;
  /** Each subscriber handles the events of one key in the order of publishing; undefined for no order. */
  readonly key?: (payload: Payload) => string;
}

export interface EventOptions<Payload extends AnySchema, Shown extends Attributes>
  extends VersionOptions, DedupOptions {
  readonly payload: Payload;
  /** Computed once by the publisher and carried in the header, so that a broker filters without opening the body. */
  readonly attributes?: (payload: Validated<Payload>) => Shown;
  /** Topic shared with other events, to keep the order across them. */
  readonly topic?: string;
  /** What keeps order: as the key of a command, for each subscriber by itself. */
  readonly key?: (payload: Validated<Payload>) => string;
}

/**
 * Declares an event: each subscribing service gets its own durable copy.
 *
 * @example
 * export const OrderPlaced = event("ordering.order-placed", {
 *   payload: Order,
 *   attributes: (order) => ({ region: order.region, total: order.total }),
 * });
 */
export function event<
  const Name extends string,
  Payload extends AnySchema,
  Shown extends Attributes = Record<never, never>,
>(name: Name, options: EventOptions<Payload, Shown>): Event<Name, Validated<Payload>, Shown> {
  return Object.freeze({
    ...contractBase("event", name, options),
    payload: options.payload,
    attributes: options.attributes ?? noAttributes,
    topic: options.topic ?? name,
    ...(options.dedupMs !== undefined && { dedupMs: options.dedupMs }),
    ...(options.key !== undefined && { key: options.key }),
  });
}

function noAttributes(): any {
  return {};
}
