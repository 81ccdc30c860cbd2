import type { Destination, Topology, Transport } from "../ports/transport.ts";
import { typesOf } from "../wiring/former-names.ts";
import type { AnyContract } from "../wiring/uses.ts";
import { destinationOfAddress } from "../wire/wire.ts";
import { type Kind, kinds, wordOf } from "./options.ts";

/** What carries some of the kinds. */
export interface Carrier {
  readonly kinds: readonly Kind[];
}

/** One of the brokers of a bus, and what it carries. */
export interface Broker extends Carrier {
  readonly transport: Transport;
}

/** A broker for people: `rabbitmq (events, streams)`; its name alone where it carries everything. */
export function brokerName({ kinds: own, transport }: Broker): string {
  if (own.length === kinds.length) return transport.name;
  return `${transport.name} (${own.map((kind) => wordOf[kind]).join(", ")})`;
}

/** Where everything has its place when kinds are split over brokers. */
export class Homes<Home extends Carrier = Broker> {
  readonly brokers: readonly Home[];
  readonly #first: Home;
  readonly #byKind: ReadonlyMap<Kind, Home>;
  readonly #queues: ReadonlyMap<string, Home>;

  constructor(brokers: readonly [Home, ...Home[]], contracts: Iterable<AnyContract>) {
    this.brokers = brokers;
    this.#first = brokers[0];
    this.#byKind = new Map(
      brokers.flatMap((broker) => broker.kinds.map((kind) => [kind, broker] as const)),
    );
    const queues = new Map<string, Home>();
    for (const contract of contracts) {
      if (contract.kind === "event" || contract.kind === "stream") continue;
      const names = contract.kind === "command" ? [contract.queue] : [];
      for (const name of [...names, ...typesOf(contract)]) queues.set(name, this.of(contract.kind));
    }
    this.#queues = queues;
  }

  of(kind: Kind): Home {
    return this.#byKind.get(kind) ?? this.#first;
  }

  /** A queue that no connected service knows is taken for one of commands. */
  ofDestination({ kind, name }: Destination): Home {
    if (kind === "topic") return this.of("event");
    if (kind === "stream") return this.of("stream");
    return this.#queues.get(name) ?? this.of("command");
  }

  /** Undefined where no connected service says whose the address is. */
  ofAddress(address: string): Home | undefined {
    const { kind, name } = destinationOfAddress(address);
    if (kind === "queue") return this.#queues.get(name);
    const wanted = kind === "topic" ? "event" : "stream";
    return this.#byKind.get(wanted);
  }

  /** What each broker is to have; brokers that have nothing of it are left out. */
  split(topology: Topology): readonly (readonly [Home, Topology])[] {
    const isOn =
      (broker: Home, kind: Destination["kind"]) =>
      ({ name }: { readonly name: string }): boolean =>
        this.ofDestination({ kind, name }) === broker;
    return this.brokers
      .map((broker): readonly [Home, Topology] => [
        broker,
        {
          queues: topology.queues.filter(isOn(broker, "queue")),
          topics: topology.topics.filter(isOn(broker, "topic")),
          subscriptions: this.of("event") === broker ? topology.subscriptions : [],
          streams: topology.streams.filter(isOn(broker, "stream")),
        },
      ])
      .filter(([, part]) => Object.values(part).some((specs) => specs.length > 0));
  }
}
