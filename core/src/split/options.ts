import { WaybillError } from "../errors.ts";
import type { TransportFactory } from "../ports/transport.ts";
import type { AnyContract } from "../wiring/uses.ts";

export type Kind = AnyContract["kind"];

/** A transport, or the URL of one: `sqlite:./data`, `memory:`, `amqp://127.0.0.1`. */
export type TransportChoice = TransportFactory | string;

/**
 * Which broker carries which kind. One that is named twice, by the same value or the same URL, is opened once; one whose kinds no connected service
 * uses is not opened.
 */
export interface SplitTransports {
  readonly commands?: TransportChoice;
  readonly events?: TransportChoice;
  readonly queries?: TransportChoice;
  readonly feeds?: TransportChoice;
  readonly streams?: TransportChoice;
  /** Carries every kind that is not named. */
  readonly default?: TransportChoice;
  /** Tells it from a transport. */
  readonly open?: never;
}

type Word = Exclude<keyof SplitTransports, "default" | "open">;

/** In the order in which brokers are opened. */
export const wordOf: Readonly<Record<Kind, Word>> = {
  command: "commands",
  event: "events",
  query: "queries",
  feed: "feeds",
  stream: "streams",
};

export const kinds: readonly Kind[] = Object.keys(wordOf) as Kind[];

/** A broker that is to be opened, and what it carries. */
export interface Share {
  readonly choice: TransportChoice;
  readonly kinds: readonly Kind[];
}

/** Throws OPTION_INVALID for a kind without a broker, and for what is no kind. */
export function sharesOf(
  transport: TransportChoice | SplitTransports,
  contracts: Iterable<AnyContract>,
): readonly Share[] {
  if (typeof transport === "string" || typeof transport.open === "function")
    return [{ choice: transport, kinds }];
  const split: SplitTransports = transport;
  assertKeys(split);
  const used = new Map([...contracts].map((contract) => [contract.kind, contract]));
  const carried = used.size === 0 ? kinds.filter((kind) => has(split, kind)) : [...used.keys()];
  const byChoice = Map.groupBy(
    kinds.filter((kind) => carried.includes(kind)),
    (kind) => choiceOf(split, kind, used.get(kind)),
  );
  const shares = [...byChoice].map(([choice, shared]) => ({ choice, kinds: shared }));
  if (shares.length === 0)
    throw invalid("names no broker at all", 'Give at least default: "sqlite:./data".');
  return shares;
}

function has(split: SplitTransports, kind: Kind): boolean {
  return (split[wordOf[kind]] ?? split.default) !== undefined;
}

function choiceOf(
  split: SplitTransports,
  kind: Kind,
  contract: AnyContract | undefined,
): TransportChoice {
  const choice = split[wordOf[kind]] ?? split.default;
  if (choice !== undefined) return choice;
  throw invalid(
    `names no broker for the ${kind} "${contract?.name}"`,
    `Add ${wordOf[kind]}: …, or default: ….`,
  );
}

function assertKeys(split: SplitTransports): void {
  const known = [...Object.values(wordOf), "default"];
  for (const [key, choice] of Object.entries(split) as [string, unknown][]) {
    if (!known.includes(key))
      throw invalid(`has the key "${key}", which is no kind`, `There are ${known.join(", ")}.`);
    const { open } = Object(choice) as { readonly open?: unknown };
    if (choice === undefined || typeof choice === "string" || typeof open === "function") continue;
    throw invalid(
      `has no transport at "${key}"`,
      "Give what embedded(), rabbitmq() and their kind make, or a URL.",
    );
  }
}

function invalid(what: string, advice: string): WaybillError {
  return new WaybillError("OPTION_INVALID", `connect({ transport }) ${what}. ${advice}`);
}
