import type { StandardSchemaV1 } from "@standard-schema/spec";

/** The five ways to talk. */
export type ContractKind = "command" | "event" | "query" | "feed" | "stream";

/** A value that a rule on the broker can compare. */
export type AttributeValue = string | number | boolean;

/** What a publisher shows of an event beside its body, so that brokers can filter without opening the body. */
export type Attributes = Readonly<Record<string, AttributeValue>>;

/**
 * Turns the body of one older version into the next version's body. Runs before validation, so it gets
 * what the old sender wrote and must not trust it.
 */
export type Upcaster = (older: unknown) => unknown;

/** What every contract carries. A contract is a plain value: it holds no connection and runs in a browser. */
export interface Contract<Kind extends ContractKind = ContractKind, Name extends string = string> {
  readonly kind: Kind;
  readonly name: Name;
  /** Whole number from 1. Messages carry it; a receiver upcasts what is older and refuses what is newer. */
  readonly version: number;
  /** `upcasters[n]` turns a body of version n into version n + 1. */
  readonly upcasters: Readonly<Record<number, Upcaster>>;
  /** File and line of the definition, for the errors that name two places. Empty where the engine keeps no stack. */
  readonly definedAt: string;
}

export interface VersionOptions {
  /** Version of the body's shape: a whole number from 1. Default 1. */
  readonly version?: number;
  /** How to read older versions: `{ 1: (v1) => v2, 2: (v2) => v3 }`. */
  readonly upcasters?: Readonly<Record<number, Upcaster>>;
}

/** What a contract says whose messages can be recognised when they are sent twice. */
export interface DedupOptions {
  /**
   * For how long the broker remembers the id of each message (`dedupId`, else `id`), in milliseconds: a second one of this contract
   * with the same id is accepted within that time and not stored again. It holds for the whole queue or topic where contracts share
   * one; the longest counts. 0 ends it. Default: not at all.
   */
  readonly dedupMs?: number;
}

/** A schema whose input is not of interest here: only the validated type counts. */
export type AnySchema = StandardSchemaV1;

export function contractBase<Kind extends ContractKind, Name extends string>(
  kind: Kind,
  name: Name,
  options: VersionOptions,
): Contract<Kind, Name> {
  return {
    kind,
    name,
    version: options.version ?? 1,
    upcasters: options.upcasters ?? {},
    definedAt: callerOutside(3),
  };
}

/** The stack's frame `depth` calls up: 0 is this function, so a factory called by the user through contractBase is 3. */
function callerOutside(depth: number): string {
  const frame = new Error("definition").stack?.split("\n")[depth + 1] ?? "";
  return /\(?((?:file:|https?:|\/|[A-Za-z]:)[^()]*:\d+:\d+)\)?$/.exec(frame.trim())?.[1] ?? "";
}
