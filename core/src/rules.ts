import type { Attributes, AttributeValue, Rule, RuleTest } from "@waybill/contracts";
import type { FilterOperator } from "./ports/transport.ts";

export type Predicate = (attributes: Attributes) => boolean;

const depthMax = 8;
const partsMax = 200;
const operators = ["eq", "gt", "gte", "lt", "lte", "in", "prefix", "exists", "not"] as const;
type Operator = (typeof operators)[number];
type Tests = Readonly<Partial<Record<Operator, unknown>>>;

const operatorKind: Readonly<Record<Operator, FilterOperator>> = {
  eq: "eq",
  gt: "compare",
  gte: "compare",
  lt: "compare",
  lte: "compare",
  in: "in",
  prefix: "prefix",
  exists: "exists",
  not: "logic",
};

/** A rule that was read once, so that matching a message only runs comparisons. */
export interface CompiledRule {
  readonly matches: Predicate;
  /** Which operators it uses, to hold against what a broker evaluates. */
  readonly uses: ReadonlySet<FilterOperator>;
}

/** Reads a rule. Throws a RangeError with the path of the fault; rules may come from a file or a broker, so all is checked. */
export function compileRule(rule: Rule): CompiledRule {
  const uses = new Set<FilterOperator>();
  const budget: Budget = { tests: partsMax, groups: partsMax };
  return { matches: compileGroup(rule, "where", { depth: 0, uses, budget }), uses };
}

interface Reading {
  readonly depth: number;
  readonly uses: Set<FilterOperator>;
  readonly budget: Budget;
}

/** What a rule may still have. */
interface Budget {
  tests: number;
  groups: number;
}

function compileGroup(rule: unknown, path: string, reading: Reading): Predicate {
  if (!isRecord(rule)) throw new RangeError(`${path}: a rule is an object of tests`);
  if (reading.depth > 0) spend(reading, "groups", path);
  if (reading.depth > depthMax)
    throw new RangeError(`${path}: rules nest at most ${depthMax} deep`);
  const inner = { ...reading, depth: reading.depth + 1 };
  const parts = Object.entries(rule).map(([name, test]) =>
    compileEntry(name, test, { path: `${path}.${name}`, inner }),
  );
  return all(parts);
}

function compileEntry(
  name: string,
  test: unknown,
  at: { path: string; inner: Reading },
): Predicate {
  if (name === "and" || name === "or") {
    at.inner.uses.add("logic");
    if (!Array.isArray(test)) throw new RangeError(`${at.path}: takes a list of rules`);
    const parts = test.map((rule, index) => compileGroup(rule, `${at.path}[${index}]`, at.inner));
    return name === "and" ? all(parts) : (attributes) => parts.some((part) => part(attributes));
  }
  if (name === "not") {
    at.inner.uses.add("logic");
    const part = compileGroup(test, at.path, at.inner);
    return (attributes) => !part(attributes);
  }
  const check = compileTest(test, at.path, at.inner);
  return (attributes) => check(Object.hasOwn(attributes, name) ? attributes[name] : undefined);
}

type Check = (value: AttributeValue | undefined) => boolean;

function compileTest(test: unknown, path: string, reading: Reading): Check {
  spend(reading, "tests", path);
  if (reading.depth > depthMax)
    throw new RangeError(`${path}: rules nest at most ${depthMax} deep`);
  if (isAttributeValue(test)) {
    reading.uses.add("eq");
    return (value) => value === test;
  }
  if (!isRecord(test)) throw new RangeError(`${path}: a test is a value or an object of operators`);
  const checks = Object.entries(test as Tests).map(([operator, operand]) =>
    compileOperator(operator, operand, { path, reading }),
  );
  if (checks.length === 0)
    throw new RangeError(`${path}: a test names at least one of ${operators.join(", ")}`);
  return (value) => checks.every((check) => check(value));
}

/** Groups are counted, too: a million empty ones cost as much as a million tests. */
function spend({ budget }: Reading, part: keyof Budget, path: string): void {
  if (budget[part]-- <= 0) throw new RangeError(`${path}: a rule has at most ${partsMax} ${part}`);
}

function compileOperator(
  operator: string,
  operand: unknown,
  at: { path: string; reading: Reading },
): Check {
  const path = `${at.path}.${operator}`;
  if (!isOperator(operator))
    throw new RangeError(`${path}: unknown operator; known are ${operators.join(", ")}`);
  at.reading.uses.add(operatorKind[operator]);
  switch (operator) {
    case "eq":
      if (!isAttributeValue(operand))
        throw new RangeError(`${path}: compares with text, a number or a boolean`);
      return (value) => value === operand;
    case "gt":
    case "gte":
    case "lt":
    case "lte":
      return compileComparison(operator, operand, path);
    case "in": {
      if (!Array.isArray(operand) || !operand.every(isAttributeValue))
        throw new RangeError(`${path}: takes a list of values`);
      const members = new Set<unknown>(operand);
      return (value) => value !== undefined && members.has(value);
    }
    case "prefix":
      if (typeof operand !== "string") throw new RangeError(`${path}: takes text`);
      return (value) => typeof value === "string" && value.startsWith(operand);
    case "exists":
      if (typeof operand !== "boolean") throw new RangeError(`${path}: takes true or false`);
      return (value) => (value !== undefined) === operand;
    case "not": {
      const check = compileTest(operand, path, { ...at.reading, depth: at.reading.depth + 1 });
      return (value) => !check(value);
    }
  }
}

function compileComparison(
  operator: "gt" | "gte" | "lt" | "lte",
  operand: unknown,
  path: string,
): Check {
  if (!isNumber(operand) && typeof operand !== "string")
    throw new RangeError(`${path}: compares with a number or text`);
  const comparable = (value: AttributeValue | undefined): value is number | string =>
    typeof value === typeof operand;
  switch (operator) {
    case "gt":
      return (value) => comparable(value) && value > operand;
    case "gte":
      return (value) => comparable(value) && value >= operand;
    case "lt":
      return (value) => comparable(value) && value < operand;
    case "lte":
      return (value) => comparable(value) && value <= operand;
  }
}

function all(parts: readonly Predicate[]): Predicate {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return only;
  return (attributes) => parts.every((part) => part(attributes));
}

function isOperator(name: string): name is Operator {
  return (operators as readonly string[]).includes(name);
}

function isAttributeValue(value: unknown): value is AttributeValue & RuleTest {
  return typeof value === "string" || isNumber(value) || typeof value === "boolean";
}

/** NaN equals nothing, itself included, so no test of it could ever mean anything. */
function isNumber(value: unknown): value is number {
  return Number.isFinite(value);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
