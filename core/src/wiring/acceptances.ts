import type { AttributeChanges, Attributes } from "@waybill/contracts";
import type { Header } from "../envelope.ts";
import { attributeNameFault } from "./names.ts";
import type { Acceptance } from "../ports/transport.ts";
import { type Predicate, compileRule } from "../rules.ts";

/** The header of the copy that one subscription gets. */
export type Change = (header: Header) => Header;

/** What a subscription says of one type. */
export interface Taking {
  readonly wants: Predicate;
  /** Undefined where its copies are as they were published. */
  readonly change: Change | undefined;
}

const changesMax = 20;
const textMax = 1_000;

/** Several entries of one type are alternatives; the first that holds changes the copy. Throws RangeError with the path of the fault. */
export function compileAcceptances(accepts: readonly Acceptance[]): Map<string, Taking> {
  const byType = new Map<string, Taking[]>();
  for (const { type, where, set } of accepts) {
    const taking = {
      wants: where === undefined ? always : compileRule(where).matches,
      change: set === undefined ? undefined : compileChanges(set),
    };
    byType.set(type, [...(byType.get(type) ?? []), taking]);
  }
  return new Map([...byType].map(([type, alternatives]) => [type, anyOf(alternatives)]));
}

/** Throws RangeError with the path of the fault; changes may come from a file or a broker, so all is checked. */
export function compileChanges(set: AttributeChanges): Change {
  if (typeof set !== "object" || set === null || Array.isArray(set))
    throw new RangeError("set: takes an object of attributes");
  const changes = Object.entries(set as Readonly<Record<string, unknown>>);
  if (changes.length > changesMax)
    throw new RangeError(`set: changes at most ${changesMax} attributes`);
  for (const [name, value] of changes) {
    const fault = attributeNameFault(name);
    if (fault !== undefined) throw new RangeError(`set.${name}: no legal name: ${fault}`);
    if (!isValue(value))
      throw new RangeError(
        `set.${name}: takes a finite number, a boolean, text of at most ${textMax} characters, or null to remove it`,
      );
  }
  const written = Object.fromEntries(changes.filter(([, value]) => value !== null)) as Attributes;
  const removed = changes.filter(([, value]) => value === null).map(([name]) => name);
  return (header) => {
    const { attributes: before, ...rest } = header;
    const attributes: Record<string, unknown> = { ...before, ...written };
    for (const name of removed) delete attributes[name];
    return Object.keys(attributes).length === 0
      ? rest
      : { ...rest, attributes: attributes as Attributes };
  };
}

function isValue(value: unknown): boolean {
  if (typeof value === "string") return value.length <= textMax;
  return value === null || typeof value === "boolean" || Number.isFinite(value);
}

function anyOf(alternatives: readonly Taking[]): Taking {
  const [only] = alternatives;
  if (alternatives.length === 1 && only !== undefined) return only;
  const wants: Predicate = alternatives.some((each) => each.wants === always)
    ? always
    : (attributes) => alternatives.some((each) => each.wants(attributes));
  if (alternatives.every(({ change }) => change === undefined)) return { wants, change: undefined };
  return {
    wants,
    change: (header) => {
      const first = alternatives.find((each) => each.wants(header.attributes ?? {}));
      return first?.change?.(header) ?? header;
    },
  };
}

function always(): boolean {
  return true;
}
