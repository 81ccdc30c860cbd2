import type { ContractCounters, ReplyCounters } from "./counters.ts";
import { messageOf } from "../errors.ts";
import { answering } from "./answering.ts";
import type { Environment } from "../ports/environment.ts";
import { type CircuitHealth, openInWords } from "../flow/circuit-breaker.ts";
import type { LoopHealth } from "../flow/loop-lag.ts";
import { pausedInWords } from "./pausing.ts";
import type { StoreHealth } from "../stores/store-health.ts";
import type { CaptureHealth } from "../ports/capture.ts";
import type { ViewStatus } from "../views/status.ts";
import type { AddressState, Capabilities, Transport } from "../ports/transport.ts";
import type { Runtime } from "../runtime.ts";
import { type Broker, brokerName } from "../split/homes.ts";
import type { Kind } from "../split/options.ts";

export interface Health {
  /**
   * up: all is well. degraded: messages wait where nobody receives, or stand among the dead letters, an address is paused for all, a circuit
   * breaker holds messages back here, handlers that were given up still run, or the event loop stood still for too long. failed: the books of
   * an address do not balance, so messages were lost or came from nowhere. down: a broker does not answer.
   */
  readonly status: "up" | "degraded" | "failed" | "down";
  /** Why it is not up, each a sentence. */
  readonly reasons: readonly string[];
  /** The broker; of several the names of all, and what a message survives on each of them. */
  readonly transport: { readonly name: string; readonly durability: Capabilities["durability"] };
  /** Each broker of the bus by itself. */
  readonly transports: readonly TransportHealth[];
  /** Of the brokers that answer. */
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
  /** The outboxes of the services' stores. */
  readonly stores: readonly StoreHealth[];
  /** How far the views have come that this process keeps. */
  readonly views: readonly ViewStatus[];
  /** What the services capture from databases of others. */
  readonly captures: readonly CaptureHealth[];
}

export interface TransportHealth {
  readonly name: string;
  /** What it carries. */
  readonly kinds: readonly Kind[];
  readonly durability: Capabilities["durability"];
  readonly answers: boolean;
}

/** What this process knows by itself. */
export interface HealthHere extends Pick<Health, "circuits" | "eventLoop"> {
  readonly running: ReadonlyMap<string, number>;
  /** Why it is not up. */
  readonly complaints: readonly string[];
}

type HealthParts = Pick<Runtime, "transport" | "brokers" | "counters" | "environment">;

export async function readHealth(
  { transport, brokers, counters, environment }: HealthParts,
  here: HealthHere,
): Promise<Omit<Health, "stores" | "views" | "captures">> {
  const reasons: string[] = [...here.circuits.flatMap(openInWords), ...here.complaints];
  const overdue = counters.overdue();
  for (const [handler, count] of Object.entries(overdue))
    reasons.push(`${handler}: ${count} runs were given up after their time and have not ended`);
  const looks = await Promise.all(brokers.map((broker) => lookAt(broker, environment)));
  reasons.push(...looks.flatMap((look) => look.complaints));
  const imbalances = looks.flatMap((look) => look.imbalances);
  const missing = looks.flatMap(({ silence }) => silence ?? []);
  return {
    status:
      missing.length > 0
        ? "down"
        : imbalances.length > 0
          ? "failed"
          : reasons.length > 0
            ? "degraded"
            : "up",
    reasons: [...imbalances, ...reasons, ...missing],
    transport: { name: transport.name, durability: transport.capabilities.durability },
    transports: brokers.map(({ kinds, transport: { name, capabilities } }, index) => ({
      name,
      kinds,
      durability: capabilities.durability,
      answers: looks[index]?.silence === undefined,
    })),
    addresses: looks.flatMap(({ addresses }) => addresses),
    running: Object.fromEntries(here.running),
    overdue,
    contracts: counters.snapshot(),
    replies: { ...counters.replies },
    unknownTypes: Object.fromEntries(counters.unknownTypes),
    circuits: here.circuits,
    eventLoop: here.eventLoop,
  };
}

interface Look {
  readonly addresses: readonly AddressState[];
  readonly complaints: readonly string[];
  readonly imbalances: readonly string[];
  /** Why it does not answer. */
  readonly silence: string | undefined;
}

async function lookAt(broker: Broker, environment: Environment): Promise<Look> {
  const { transport } = broker;
  let addresses: readonly AddressState[] = [];
  let imbalances: readonly string[] = [];
  let silence: string | undefined;
  try {
    addresses = await answering(environment, transport.inspection.addresses());
    imbalances = await answering(environment, imbalancesOf(transport));
  } catch (error) {
    silence = `${brokerName(broker)} does not answer: ${messageOf(error)}`;
  }
  return { addresses, complaints: addresses.flatMap(complaints), imbalances, silence };
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
