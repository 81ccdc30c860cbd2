import type { Attributes, AttributeValue } from "./contract.ts";

/**
 * What a subscription writes into the attributes of its own copies: a value, or null to take one away; at most 20, text of at most 1,000
 * characters. Names may be new; those that the event shows keep their type.
 *
 * @example
 * { tier: "gold", internal: null }
 */
export type AttributeChanges<Shown extends Attributes = Attributes> = Readonly<
  Record<string, AttributeValue | null>
> & { readonly [Name in keyof Shown]?: Widen<Shown[Name]> | null };

/**
 * A test of one attribute. A bare value means equality. Several operators in one test must all hold.
 * An attribute that is absent fails every operator but `exists: false` and `not`.
 */
export type RuleTest<Value extends AttributeValue = AttributeValue> =
  | Value
  | {
      readonly eq?: Value;
      readonly gt?: Value & (string | number);
      readonly gte?: Value & (string | number);
      readonly lt?: Value & (string | number);
      readonly lte?: Value & (string | number);
      readonly in?: readonly Value[];
      readonly prefix?: Value & string;
      readonly exists?: boolean;
      /** Holds when the inner test does not, an absent attribute included. */
      readonly not?: RuleTest<Value>;
    };

/**
 * Which events a subscription wants: a test per attribute (all must hold), joined by `and`, `or`, `not`.
 *
 * @example
 * { region: "EU", total: { gt: 100 } }
 * { or: [{ tier: "vip" }, { total: { gte: 1000 } }] }
 */
export type Rule<Shown extends Attributes = Attributes> = string extends keyof Shown
  ? RuleOfAnyNames
  : { readonly [Name in keyof Shown]?: RuleTest<Widen<Shown[Name]>> } & {
      readonly and?: readonly Rule<Shown>[];
      readonly or?: readonly Rule<Shown>[];
      readonly not?: Rule<Shown>;
    };

/** A rule on an event whose attributes are not known here. */
interface RuleOfAnyNames {
  readonly [name: string]: RuleTest | RuleOfAnyNames | readonly RuleOfAnyNames[] | undefined;
  readonly and?: readonly RuleOfAnyNames[];
  readonly or?: readonly RuleOfAnyNames[];
  readonly not?: RuleOfAnyNames;
}

type Widen<Value> = Value extends string
  ? Value
  : Value extends number
    ? number
    : Value extends boolean
      ? boolean
      : AttributeValue;
