import type { Query } from "@waybill/contracts";
import type { CallOptions, Context, InputOf, OutputOf } from "../context.ts";
import { type ErrorCode, WaybillError } from "../errors.ts";

/** One question of an aggregate, and what becomes of it without an answer. */
export interface Part<C extends Query = Query, Else = never> {
  readonly query: C;
  readonly input: unknown;
  /** Absent: the aggregate fails without it. */
  readonly without?: { readonly value: Else };
}

/** What stands in the place of an answer that does not come. */
export type PartPolicy<Else> = { readonly optional: true } | { readonly otherwise: Else };

/**
 * A question for `aggregate`. Without a policy the aggregate fails when it is not answered; `optional` makes it undefined, `otherwise` names a value.
 *
 * @example part(GetStock, { sku }, { otherwise: { pieces: 0 } })
 */
export function part<C extends Query>(query: C, input: InputOf<C>): Part<C>;
export function part<C extends Query>(
  query: C,
  input: InputOf<C>,
  policy: { readonly optional: true },
): Part<C, undefined>;
export function part<C extends Query, const Else>(
  query: C,
  input: InputOf<C>,
  policy: { readonly otherwise: Else },
): Part<C, Else>;
export function part(
  query: Query,
  input: unknown,
  policy?: PartPolicy<unknown>,
): Part<Query, unknown> {
  if (policy === undefined) return { query, input };
  const value = "otherwise" in policy ? policy.otherwise : undefined;
  return { query, input, without: { value } };
}

export interface AggregateOptions {
  /** How long all parts together may take, in milliseconds, 1 to 600,000; inside a handler never longer than what is left of its own deadline. Default 10,000. */
  readonly deadlineMs?: number;
  /** Questions that are open at the same time, 1 to 100. Default 8. */
  readonly concurrency?: number;
}

/** The answers, by part. */
export type ValuesOf<Parts> = {
  readonly [Name in keyof Parts]: Parts[Name] extends Part<infer C, infer Else>
    ? OutputOf<C> | Else
    : never;
};

export interface Aggregate<Parts> {
  readonly values: ValuesOf<Parts>;
  /** Why, of the parts that were not answered: say so to whoever gets the values. */
  readonly missing: { readonly [Name in keyof Parts]?: WaybillError };
}

/** What asks: the context of a handler. */
type Asker<C extends Query> = Pick<Context, "now" | "signal"> & {
  ask(query: C, input: any, options?: CallOptions): Promise<unknown>;
};

type QueryOf<Parts> = Parts[keyof Parts] extends Part<infer C, any> ? C : never;

const deadlineMsDefault = 10_000;
const deadlineMsMost = 600_000;
const concurrencyDefault = 8;
const concurrencyMost = 100;
const partsMost = 100;
/** What is wrong is the question, or who asks: a value in its place would hide it. */
const faults: readonly ErrorCode[] = [
  "CALL_CANCELLED",
  "CALL_DEPTH_EXCEEDED",
  "CLOSED",
  "CONTRACT_NOT_DECLARED",
  "MESSAGE_INVALID",
  "OPTION_INVALID",
];

/**
 * Asks several owners at once, under one deadline, and puts their answers together. A part that is not answered is what its policy says; where that
 * is a failure the other questions are cancelled. Errors: that of the first such part; OPTION_INVALID; whatever is wrong with a question itself.
 *
 * @example
 * const { values, missing } = await aggregate(
 *   context,
 *   { price: part(GetPrice, { sku }), stock: part(GetStock, { sku }, { optional: true }) },
 *   { deadlineMs: 500 },
 * );
 */
export async function aggregate<const Parts extends Readonly<Record<string, Part<any, any>>>>(
  context: Asker<NoInfer<QueryOf<Parts>>>,
  parts: Parts,
  { deadlineMs = deadlineMsDefault, concurrency = concurrencyDefault }: AggregateOptions = {},
): Promise<Aggregate<Parts>> {
  const waiting = Object.entries<Part<Query, unknown>>(parts);
  checkBounds(waiting.length, deadlineMs, concurrency);
  const until = context.now().getTime() + deadlineMs;
  const ending = new AbortController();
  const values: Record<string, unknown> = {};
  const missing: Record<string, WaybillError> = {};
  const answer = async (
    name: string,
    { query, input, without }: Part<Query, unknown>,
  ): Promise<void> => {
    try {
      const timeoutMs = until - context.now().getTime();
      if (timeoutMs <= 0) throw late(query, deadlineMs);
      const options = { timeoutMs, signal: ending.signal };
      values[name] = await context.ask(query as QueryOf<Parts>, input, options);
    } catch (error) {
      context.signal.throwIfAborted();
      const isTolerable = error instanceof WaybillError && !faults.includes(error.code);
      if (without === undefined || !isTolerable) throw error;
      values[name] = without.value;
      missing[name] = error;
    }
  };
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
      await answer(...next);
  };
  try {
    await Promise.all(Array.from({ length: Math.min(concurrency, waiting.length) }, work));
  } finally {
    // Nobody waits for what is still open, and nothing more is asked.
    waiting.length = 0;
    ending.abort(over);
  }
  return { values: values as ValuesOf<Parts>, missing };
}

const over = new WaybillError("CALL_CANCELLED", "The aggregate that asked has ended.");

function checkBounds(count: number, deadlineMs: number, concurrency: number): void {
  const checks: readonly (readonly [string, number, number, number])[] = [
    ["The number of parts", count, 1, partsMost],
    ["deadlineMs", deadlineMs, 1, deadlineMsMost],
    ["concurrency", concurrency, 1, concurrencyMost],
  ];
  for (const [what, value, least, most] of checks)
    if (!Number.isSafeInteger(value) || value < least || value > most)
      throw new WaybillError(
        "OPTION_INVALID",
        `${what} of an aggregate is ${String(value)}; give a whole number from ${least} to ${most}.`,
      );
}

function late({ name }: Query, deadlineMs: number): WaybillError {
  return new WaybillError(
    "DEADLINE_EXCEEDED",
    `"${name}" was not asked: the ${deadlineMs} ms of its aggregate were over before its turn. Raise the deadline or the concurrency, or ask less.`,
    { retryable: true },
  );
}
