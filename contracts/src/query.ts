import { type AnySchema, type Contract, type VersionOptions, contractBase } from "./contract.ts";
import type { Schema, Validated } from "./schema.ts";

/** A question with one answer. Asked with `ask`, answered with `answer`. */
export interface Query<Name extends string = string, Input = any, Output = any> extends Contract<
  "query",
  Name
> {
  readonly input: Schema<Input>;
  readonly output: Schema<Output>;
}

export interface QueryOptions<
  Input extends AnySchema,
  Output extends AnySchema,
> extends VersionOptions {
  readonly input: Input;
  readonly output: Output;
}

/**
 * Declares a query: ask one, get an answer before a deadline.
 *
 * @example
 * export const GetPrice = query("pricing.get-price", { input: Sku, output: Price });
 */
export function query<const Name extends string, Input extends AnySchema, Output extends AnySchema>(
  name: Name,
  options: QueryOptions<Input, Output>,
): Query<Name, Validated<Input>, Validated<Output>> {
  return Object.freeze({
    ...contractBase("query", name, options),
    input: options.input,
    output: options.output,
  });
}
