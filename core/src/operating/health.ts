import type { Counters, ContractCounters, ReplyCounters } from "./counters.ts";
import { messageOf } from "../errors.ts";
import { type CircuitHealth, openInWords } from "../flow/circuit-breaker.ts";
import type { LoopHealth } from "../flow/loop-lag.ts";
import { pausedInWords } from "./pausing.ts";
import type { AddressState, Capabilities, Transport } from "../ports/transport.ts";

export interface Health {
  /**
   * up: all is well. degraded: messages wait where nobody receives, or stand among the dead letters, an address is paused for all, a circuit
   * breaker holds messages back here, handlers that were given up still run, or the event loop stood still for too long. failed: the books of
   * an address do not balance, so messages were lost or came from nowhere. down: the broker does not answer.
   */
  readonly status: "up" | "degraded" | "failed" | "down";
  /** Why it is not up, each a sentence. */
  readonly reasons: readonly string[];
  readonly transport: { readonly name: string; readonly durability: Capabilities["durability"] };
  readonly addresses: readonly AddressState[];
  /** Handlers running in this process now, by address. */
  readonly running: Readonly<Record<string, number>>;
  /** Runs in this process that were given up when their time was over and have not ended, by handler. */
  readonly overdue: Readonly<Record<string, number>>;
  /** What this process has counted since it connected, by contract. */
  readonly contracts: Readonly<Record<string, Readonly<ContractCounters>>>;
  readonly replies: Readonly<ReplyCounters>;
  /** Messages of a type that no handler here takes, by address. */
  readonly unknownTypes: Readonly<Record<string, number>>;
  /** The circuit breakers of this process's handlers. */
  readonly circuits: readonly CircuitHealth[];
  /** Undefined where nothing is received, and where time does not pass by itself. */
  readonly eventLoop: LoopHealth | undefined;
}

/** What this process knows by itself. */
export interface HealthHere extends Pick<Health, "circuits" | "eventLoop"> {
  readonly running: ReadonlyMap<string, number>;
  /** Why it is not up. */
  readonly complaints: readonly string[];
}

export async function readHealth(
  transport: Transport,
  counters: Counters,
  here: HealthHere,
): Promise<Health> {
  const reasons: string[] = [...here.circuits.flatMap(openInWords), ...here.complaints];
  let addresses: readonly AddressState[] = [];
  let status: Health["status"] = "up";
  const overdue = counters.overdue();
  for (const [handler, count] of Object.entries(overdue))
    reasons.push(`${handler}: ${count} runs were given up after their time and have not ended`);
  try {
    addresses = await transport.inspection.addresses();
    reasons.push(...addresses.flatMap(complaints));
    if (reasons.length > 0) status = "degraded";
    const imbalances = await imbalancesOf(transport);
    if (imbalances.length > 0) status = "failed";
    reasons.unshift(...imbalances);
  } catch (error) {
    status = "down";
    reasons.push(`${transport.name} does not answer: ${messageOf(error)}`);
  }
  return {
    status,
    reasons,
    transport: { name: transport.name, durability: transport.capabilities.durability },
    addresses,
    running: Object.fromEntries(here.running),
    overdue,
    contracts: counters.snapshot(),
    replies: { ...counters.replies },
    unknownTypes: Object.fromEntries(counters.unknownTypes),
    circuits: here.circuits,
    eventLoop: here.eventLoop,
  };
}

async function imbalancesOf({ inspection, capabilities }: Transport): Promise<readonly string[]> {
  if (capabilities.conservation === "none") return [];
  const entries = await inspection.ledger();
  return entries
    .filter(({ balanced }) => !balanced)
    .map(({ address, difference }) =>
      difference > 0
        ? `${address}: ${difference} messages were accepted and are neither handled nor there`
        : `${address}: ${-difference} messages are there or handled that were never accepted`,
    );
}

function complaints({ address, ready, dead, receivers, paused }: AddressState): readonly string[] {
  const list: string[] = [];
  if (paused !== undefined) list.push(pausedInWords(address, paused));
  if (dead > 0) list.push(`${address}: ${dead} dead letters`);
  if (ready > 0 && receivers === 0)
    list.push(`${address}: ${ready} messages wait and nobody receives`);
  return list;
}
