import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Attributes, AttributeValue, Rule } from "@waybill/contracts";
import * as fc from "fast-check";
import { compileRule } from "./rules.ts";

/** Rules of this test are written as they come from a file: unchecked. */
function compile(rule: unknown): ReturnType<typeof compileRule> {
  return compileRule(rule as Rule);
}

function matches(rule: unknown, attributes: Attributes): boolean {
  return compile(rule).matches(attributes);
}

const eu: Attributes = { region: "EU", total: 100, vip: true, sku: "tea-green" };

describe("every operator", () => {
  const cases: readonly (readonly [what: string, rule: unknown, holds: boolean])[] = [
    ["a bare value is equality", { region: "EU" }, true],
    ["a bare value of another text", { region: "US" }, false],
    ["a bare number", { total: 100 }, true],
    ["a bare boolean", { vip: false }, false],
    ["equality does not convert", { total: "100" }, false],
    ["nor does it take 1 for true", { vip: 1 }, false],
    ["eq", { region: { eq: "EU" } }, true],
    ["eq of another type", { total: { eq: "100" } }, false],
    ["gt below", { total: { gt: 99 } }, true],
    ["gt at the value", { total: { gt: 100 } }, false],
    ["gte at the value", { total: { gte: 100 } }, true],
    ["gte above", { total: { gte: 101 } }, false],
    ["lt above", { total: { lt: 101 } }, true],
    ["lt at the value", { total: { lt: 100 } }, false],
    ["lte at the value", { total: { lte: 100 } }, true],
    ["lte below", { total: { lte: 99 } }, false],
    ["comparison of texts", { region: { gt: "EA", lt: "EZ" } }, true],
    ["text against a number holds neither way", { region: { gt: 0 } }, false],
    ["number against a text holds neither way", { total: { lt: "999" } }, false],
    ["a boolean is not ordered", { vip: { gte: 0 } }, false],
    ["in", { region: { in: ["US", "EU"] } }, true],
    ["in, of mixed types", { total: { in: ["100", 100] } }, true],
    ["in, not a member", { region: { in: ["US"] } }, false],
    ["in of nothing", { region: { in: [] } }, false],
    ["prefix", { sku: { prefix: "tea-" } }, true],
    ["prefix of nothing", { sku: { prefix: "" } }, true],
    ["prefix, other case", { sku: { prefix: "Tea" } }, false],
    ["prefix of a number", { total: { prefix: "1" } }, false],
    ["exists", { vip: { exists: true } }, true],
    ["exists, although present", { vip: { exists: false } }, false],
    ["not of a value", { region: { not: "US" } }, true],
    ["not of operators", { total: { not: { gt: 50 } } }, false],
    ["not of not", { total: { not: { not: { gt: 50 } } } }, true],
    ["several operators must all hold", { total: { gt: 50, lt: 100 } }, false],
    ["several attributes must all hold", { region: "EU", total: { gt: 50 } }, true],
    ["one attribute that does not hold", { region: "EU", total: { gt: 500 } }, false],
    ["no test at all", {}, true],
  ];
  for (const [what, rule, holds] of cases)
    test(`${what}: ${JSON.stringify(rule)}`, () => assert.equal(matches(rule, eu), holds));
});

describe("an absent attribute", () => {
  const failing = [
    { eq: "x" },
    "x",
    { gt: 0 },
    { gte: 0 },
    { lt: 1e9 },
    { lte: "z" },
    { in: ["x"] },
    { prefix: "" },
    { exists: true },
  ];
  for (const operators of failing)
    test(`fails ${JSON.stringify(operators)} and holds its negation`, () => {
      assert.equal(matches({ absent: operators }, eu), false);
      assert.equal(matches({ absent: { not: operators } }, eu), true);
      assert.equal(matches({ not: { absent: operators } }, eu), true);
    });

  test("holds exists: false", () => assert.equal(matches({ absent: { exists: false } }, eu), true));

  test("counts as absent when it is undefined", () => {
    const attributes = { region: undefined } as unknown as Attributes;
    assert.equal(matches({ region: { exists: true } }, attributes), false);
  });
});

describe("and, or, not", () => {
  const cases: readonly (readonly [rule: unknown, holds: boolean])[] = [
    [{ and: [{ region: "EU" }, { vip: true }] }, true],
    [{ and: [{ region: "EU" }, { vip: false }] }, false],
    [{ and: [] }, true],
    [{ or: [{ region: "US" }, { vip: true }] }, true],
    [{ or: [{ region: "US" }, { vip: false }] }, false],
    [{ or: [] }, false],
    [{ not: { region: "US" } }, true],
    [{ not: {} }, false],
    [
      { not: { and: [{ region: "EU" }, { or: [{ vip: false }, { total: { gte: 100 } }] }] } },
      false,
    ],
    [{ region: "EU", or: [{ vip: false }, { total: 100 }], not: { sku: "x" } }, true],
    [{ region: "US", or: [{ vip: true }] }, false],
  ];
  for (const [rule, holds] of cases)
    test(JSON.stringify(rule), () => assert.equal(matches(rule, eu), holds));
});

describe("uses", () => {
  const cases: readonly (readonly [rule: unknown, uses: readonly string[]])[] = [
    [{}, []],
    [{ a: "x" }, ["eq"]],
    [{ a: { eq: 1 } }, ["eq"]],
    [{ a: { gt: 1, lte: 2 } }, ["compare"]],
    [{ a: { in: [1] }, b: { prefix: "x" } }, ["in", "prefix"]],
    [{ a: { exists: false } }, ["exists"]],
    [{ a: { not: "x" } }, ["eq", "logic"]],
    [{ or: [{ a: 1 }, { not: { b: { lt: 2 } } }] }, ["compare", "eq", "logic"]],
  ];
  for (const [rule, uses] of cases)
    test(JSON.stringify(rule), () => assert.deepEqual([...compile(rule).uses].toSorted(), uses));
});

describe("a hostile rule", () => {
  const refused: readonly (readonly [what: string, rule: unknown, message: RegExp])[] = [
    ["no object", null, /^where: a rule is an object of tests/],
    ["a list", [], /^where: a rule is an object of tests/],
    ["text", "region = 'EU'", /^where: a rule is an object of tests/],
    [
      "a test of null",
      { region: null },
      /^where\.region: a test is a value or an object of operators/,
    ],
    ["a test that is a list", { region: ["EU"] }, /^where\.region: a test is a value/],
    ["a test that is code", { region: () => true }, /^where\.region: a test is a value/],
    ["a test that is a bigint", { total: 1n }, /^where\.total: a test is a value/],
    ["no operator", { region: {} }, /^where\.region: a test names at least one of eq, gt/],
    [
      "an unknown operator",
      { region: { like: "E%" } },
      /^where\.region\.like: unknown operator; known are eq/,
    ],
    ["an inherited name as operator", { region: { toString: "x" } }, /unknown operator/],
    ["constructor as operator", { region: { constructor: "x" } }, /unknown operator/],
    [
      "eq of an object",
      { region: { eq: {} } },
      /^where\.region\.eq: compares with text, a number or a boolean/,
    ],
    ["eq of null", { region: { eq: null } }, /^where\.region\.eq/],
    [
      "gt of a boolean",
      { total: { gt: true } },
      /^where\.total\.gt: compares with a number or text/,
    ],
    ["lt of a list", { total: { lt: [1] } }, /^where\.total\.lt: compares/],
    ["in of text", { region: { in: "EU" } }, /^where\.region\.in: takes a list of values/],
    ["in of objects", { region: { in: [{}] } }, /^where\.region\.in: takes a list of values/],
    ["prefix of a number", { sku: { prefix: 1 } }, /^where\.sku\.prefix: takes text/],
    ["exists of text", { vip: { exists: "yes" } }, /^where\.vip\.exists: takes true or false/],
    ["not of null", { vip: { not: null } }, /^where\.vip\.not: a test is a value/],
    ["and of an object", { and: { a: 1 } }, /^where\.and: takes a list of rules/],
    ["or of text", { or: "a" }, /^where\.or: takes a list of rules/],
    ["not of a list", { not: [] }, /^where\.not: a rule is an object of tests/],
    [
      "a fault deep inside",
      { or: [{ a: 1 }, { and: [{ b: { gt: {} } }] }] },
      /^where\.or\[1\]\.and\[0\]\.b\.gt: compares/,
    ],
  ];
  for (const [what, rule, message] of refused)
    test(`is refused with its path: ${what}`, () =>
      assert.throws(
        () => compile(rule),
        (error) => error instanceof RangeError && message.test(error.message),
      ));

  test("may nest 8 deep, and not deeper", () => {
    const nested = (depth: number, wrap: (inner: object) => object): object =>
      depth === 0 ? { region: "EU" } : wrap(nested(depth - 1, wrap));
    for (const wrap of [
      (inner: object) => ({ and: [inner] }),
      (inner: object) => ({ or: [inner] }),
    ])
      assert.equal(matches(nested(7, wrap), eu), true);
    const wraps = [
      (inner: object) => ({ and: [inner] }),
      (inner: object) => ({ or: [inner] }),
      (inner: object) => ({ not: inner }),
    ];
    for (const wrap of wraps)
      assert.throws(() => compile(nested(9, wrap)), /rules nest at most 8 deep/);
    const negated = (depth: number): object =>
      depth === 0 ? { eq: "EU" } : { not: negated(depth - 1) };
    assert.throws(() => compile({ region: negated(9) }), /rules nest at most 8 deep/);
  });

  test("may be 100,000 deep without exhausting the stack", () => {
    let rule: object = { region: "EU" };
    for (let depth = 0; depth < 100_000; depth++) rule = { not: rule };
    assert.throws(() => compile(rule), RangeError);
    assert.throws(() => compile(rule), /rules nest at most 8 deep/);
  });

  test("may hold itself", () => {
    const rule: { and?: object[] } = {};
    rule.and = [rule];
    assert.throws(() => compile(rule), /rules nest at most 8 deep/);
  });

  test("has at most 200 tests, wherever they stand", () => {
    const wide = (count: number): object =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`a${index}`, { not: "x" }]));
    const lists = (count: number): object => ({
      or: Array.from({ length: count }, () => ({ region: "US" })),
    });
    assert.equal(matches(lists(200), eu), false);
    assert.throws(() => compile(lists(201)), /a rule has at most 200 groups/);
    assert.equal(matches(wide(100), eu), true, "each not holds a test of its own");
    assert.throws(() => compile(wide(101)), /a rule has at most 200 tests/);
  });

  test("of a million empty groups is refused as well", () => {
    assert.throws(
      () => compile({ or: Array.from({ length: 1_000_000 }, () => ({})) }),
      /a rule has at most 200 groups/,
    );
  });

  test("that says nothing where it seems to say something is refused", () => {
    assert.throws(() => compile({ region: undefined }), /where\.region: a test is a value/);
    assert.throws(() => compile({ total: { gt: undefined } }), /where\.total\.gt: compares with/);
    assert.throws(
      () => compile(new Map([["region", "EU"]])),
      /where: a rule is an object of tests/,
    );
    assert.throws(() => compile({ total: Number.NaN }), /where\.total: a test is a value/);
  });

  test("reads own attributes only", () => {
    for (const name of ["toString", "constructor", "hasOwnProperty", "__proto__"]) {
      const rule = JSON.parse(`{ "${name}": { "exists": true } }`) as object;
      assert.equal(matches(rule, eu), false, name);
    }
    const inherited = Object.create({ region: "EU" }) as Attributes;
    assert.equal(matches({ region: "EU" }, inherited), false);
  });

  test("may test an attribute that is called __proto__, and changes no prototype", () => {
    const rule = JSON.parse(
      '{ "__proto__": "x", "or": [{ "__proto__": { "prefix": "x" } }] }',
    ) as Rule;
    const attributes = JSON.parse('{ "__proto__": "x" }') as Attributes;
    assert.equal(matches(rule, attributes), true);
    assert.equal(matches(rule, { x: "x" }), false);
    assert.equal(Object.getPrototypeOf({}), Object.prototype);
  });

  test("may name attributes like operators, in the group or in the test", () => {
    const attributes: Attributes = { eq: "a", gt: 1, exists: true, prefix: "p" };
    assert.equal(
      matches(
        { eq: "a", gt: { gt: 0 }, exists: { exists: true }, prefix: { prefix: "p" } },
        attributes,
      ),
      true,
    );
  });

  test("is read once: what its owner changes later changes nothing", () => {
    const rule = { region: { in: ["EU"] } };
    const { matches: holdsFor } = compile(rule);
    rule.region.in[0] = "US";
    rule.region = { in: [] };
    assert.equal(holdsFor(eu), true);
  });
});

/** Few names and few values, so that generated rules and attributes meet. */
const names = fc.constantFrom("a", "b", "c");
const values: fc.Arbitrary<AttributeValue> = fc.oneof(
  fc.constantFrom("", "x", "xy", "y", "é"),
  fc.constantFrom(-1, 0, 1, 1.5),
  fc.boolean(),
);
const ordered = values.filter((value) => typeof value !== "boolean");
const attributeSets = fc.dictionary(names, values, { maxKeys: 3 });

const { rule: rules } = fc.letrec<{ rule: object; test: unknown }>((tie) => ({
  test: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    values,
    fc
      .record(
        {
          eq: values,
          gt: ordered,
          gte: ordered,
          lt: ordered,
          lte: ordered,
          in: fc.array(values, { maxLength: 3 }),
          prefix: fc.constantFrom("", "x", "xy"),
          exists: fc.boolean(),
          not: tie("test"),
        },
        { requiredKeys: [] },
      )
      .filter((operators) => Object.keys(operators).length > 0),
  ),
  rule: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.dictionary(names, tie("test"), { maxKeys: 3 }),
    fc.record({ and: fc.array(tie("rule"), { maxLength: 3 }) }),
    fc.record({ or: fc.array(tie("rule"), { maxLength: 3 }) }),
    fc.record({ not: tie("rule") }),
  ),
}));

/** The meaning of a rule, written as plainly as possible and once more. */
function meansTrue(rule: Record<string, any>, attributes: Attributes): boolean {
  return Object.entries(rule).every(([name, inner]) => {
    if (name === "and") return (inner as object[]).every((part) => meansTrue(part, attributes));
    if (name === "or") return (inner as object[]).some((part) => meansTrue(part, attributes));
    if (name === "not") return !meansTrue(inner as object, attributes);
    return testHolds(inner, attributes[name]);
  });
}

function testHolds(operators: any, value: AttributeValue | undefined): boolean {
  if (typeof operators !== "object") return value === operators;
  const { eq, gt, gte, lt, lte, prefix, exists, not } = operators;
  const isOrdered = (bound: unknown): boolean => typeof value === typeof bound;
  return (
    (eq === undefined || value === eq) &&
    (gt === undefined || (isOrdered(gt) && value! > gt)) &&
    (gte === undefined || (isOrdered(gte) && value! >= gte)) &&
    (lt === undefined || (isOrdered(lt) && value! < lt)) &&
    (lte === undefined || (isOrdered(lte) && value! <= lte)) &&
    (operators.in === undefined || operators.in.includes(value)) &&
    (prefix === undefined || (typeof value === "string" && value.startsWith(prefix))) &&
    (exists === undefined || (value !== undefined) === exists) &&
    (not === undefined || !testHolds(not, value))
  );
}

/** Generated rules may pass the bounds; those are refused, which has its own tests above. */
function compiled(rule: object): ((attributes: Attributes) => boolean) | undefined {
  try {
    return compile(rule).matches;
  } catch (error) {
    assert.match(String(error), /nest at most|at most 200 tests/);
    return undefined;
  }
}

describe("any rule", () => {
  test("means what the plain reading of it means", () => {
    fc.assert(
      fc.property(rules, attributeSets, (rule, attributes) => {
        const predicate = compiled(rule);
        if (predicate !== undefined)
          assert.equal(predicate(attributes), meansTrue(rule, attributes));
      }),
      { numRuns: 2_000 },
    );
  });

  test("is negated by not, and kept by the way through JSON", () => {
    fc.assert(
      fc.property(rules, attributeSets, (rule, attributes) => {
        const predicate = compiled(rule);
        const negated = compiled({ not: rule });
        if (predicate === undefined || negated === undefined) return;
        assert.equal(negated(attributes), !predicate(attributes));
        assert.equal(matches(JSON.parse(JSON.stringify(rule)), attributes), predicate(attributes));
      }),
    );
  });

  test("that is any value at all compiles or is refused with a RangeError and a path", () => {
    const anything = fc.anything({
      withNullPrototype: true,
      withBigInt: true,
      withDate: true,
      withMap: true,
      maxDepth: 4,
    });
    fc.assert(
      fc.property(
        fc.oneof(anything, fc.record({ a: anything, or: anything }, { requiredKeys: [] })),
        (rule) => {
          try {
            assert.equal(typeof matches(rule, { a: 1 }), "boolean");
          } catch (error) {
            assert.ok(error instanceof RangeError, String(error));
            assert.match(error.message, /^where/);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
