import { type Predicate, compileRule } from "../rules.ts";
import type { Route } from "./route.ts";
import type { Transport } from "../ports/transport.ts";

/** The rule of a handler, where the broker does not evaluate all of it; undefined where every message that comes is wanted. */
export function ruleHere(
  { binding }: Pick<Route, "binding">,
  { capabilities }: Pick<Transport, "capabilities">,
): Predicate | undefined {
  const { where } = binding.options;
  if (where === undefined) return undefined;
  const { matches, uses } = compileRule(where);
  return [...uses].every((operator) => capabilities.filters.includes(operator))
    ? undefined
    : matches;
}
