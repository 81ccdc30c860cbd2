import type { StandardSchemaV1 } from "@standard-schema/spec";

/** Any validator that speaks Standard Schema 1 (https://standardschema.dev): zod, valibot, arktype and others. */
export type Schema<Value = unknown> = StandardSchemaV1<unknown, Value>;

/** The validated value of a schema. */
export type Validated<S extends StandardSchemaV1> = StandardSchemaV1.InferOutput<S>;

/** One reason why a value does not fit its schema. `path` is dotted, empty for the value as a whole. */
export interface Issue {
  readonly path: string;
  readonly message: string;
}

export type Validation<Value> = { readonly value: Value } | { readonly issues: readonly Issue[] };

/** Runs a schema. Answers at once when the schema does, so that the usual synchronous case costs no promise. */
export function validate<Value>(
  schema: Schema<Value>,
  value: unknown,
): Validation<Value> | Promise<Validation<Value>> {
  const result = schema["~standard"].validate(value);
  return result instanceof Promise ? result.then(toValidation) : toValidation(result);
}

const issuesMax = 20;

function toValidation<Value>(result: StandardSchemaV1.Result<Value>): Validation<Value> {
  if (result.issues === undefined) return result;
  return { issues: result.issues.slice(0, issuesMax).map(toIssue) };
}

function toIssue(issue: StandardSchemaV1.Issue): Issue {
  // Not issue.path.map(): some libraries hand over a subclass of Array, whose map() calls its own constructor.
  const path = Array.from(issue.path ?? [], (segment) =>
    String(typeof segment === "object" ? segment.key : segment),
  );
  return { path: path.join("."), message: issue.message };
}
