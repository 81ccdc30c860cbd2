import type { GaugeMeter, GaugeResult } from "../telemetry.ts";
import { messageOf } from "../errors.ts";
import { destinationOf } from "../handling/message.ts";
import type { AddressState } from "../ports/inspection.ts";
import { addressOf } from "../ports/transport.ts";
import type { Runtime } from "../runtime.ts";
import { type Broker, brokerName } from "../split/homes.ts";
import type { Wiring } from "../wiring/wiring.ts";
import { answering } from "./answering.ts";

/** How long a look into a broker is good for, in milliseconds: more readers, and more often, cost it nothing more. */
const goodForMs = 5_000;
/** Most addresses of one bus; those beyond are left out, and that is logged once. */
const addressesMax = 1_000;

type Parts = Pick<Runtime, "brokers" | "environment" | "logger">;

interface Gauge {
  readonly observable: object;
  /** Undefined where the broker does not know, and where there is nothing of the kind. */
  readonly of: (state: AddressState) => number | undefined;
}

/**
 * Depth and lag of the addresses that this bus reads or sends to, over all processes, when somebody collects metrics. Temporary addresses are left
 * out: each process would be a series of its own for ever. Answers how to end it.
 */
export function watchDepths(meter: GaugeMeter, wiring: Wiring, runtime: Parts): () => void {
  const gauges = gaugesOf(meter);
  const own = ownAddresses(wiring, runtime);
  const looks = runtime.brokers.map((broker) => new Look(broker, own, runtime));
  const observe = async (result: GaugeResult): Promise<void> => {
    for (const look of looks)
      for (const state of await look.states())
        for (const { observable, of } of gauges) {
          const value = of(state);
          if (value !== undefined) result.observe(observable, value, look.attributesOf(state));
        }
  };
  const observables = gauges.map(({ observable }) => observable);
  meter.addBatchObservableCallback(observe, observables);
  return () => meter.removeBatchObservableCallback(observe, observables);
}

/** The conventions name no metric for what stands in a broker. */
function gaugesOf(meter: GaugeMeter): readonly Gauge[] {
  const gauge = (name: string, unit: string, description: string): object =>
    meter.createObservableGauge(name, { unit, description });
  const only =
    (kinds: readonly AddressState["kind"][], of: Gauge["of"]): Gauge["of"] =>
    (state) =>
      kinds.includes(state.kind) ? of(state) : undefined;
  const queues = ["queue", "subscription"] as const;
  const readers = ["queue", "subscription", "stream"] as const;
  return [
    {
      observable: gauge("waybill.address.ready", "{message}", "Messages that can be delivered."),
      of: only(queues, ({ ready }) => ready),
    },
    {
      observable: gauge("waybill.address.in_flight", "{message}", "Messages in handlers."),
      of: only(readers, ({ inFlight }) => inFlight),
    },
    {
      observable: gauge("waybill.address.scheduled", "{message}", "Messages for later."),
      of: only(queues, ({ scheduled }) => scheduled),
    },
    {
      observable: gauge("waybill.address.dead", "{message}", "Dead letters."),
      of: ({ dead }) => dead,
    },
    {
      observable: gauge("waybill.address.oldest_ready", "s", "Age of the oldest ready message."),
      of: only(readers, ({ oldestReadyMs }) =>
        oldestReadyMs === undefined ? undefined : oldestReadyMs / 1_000,
      ),
    },
    {
      observable: gauge("waybill.stream.lag", "{message}", "Items that a group has not completed."),
      of: only(["stream"], ({ ready }) => ready),
    },
  ];
}

/** What it reads, what it sends to, and where its events are that nobody subscribes to. */
function ownAddresses(
  { intakes, contracts }: Wiring,
  { logger }: Pick<Parts, "logger">,
): ReadonlySet<string> {
  const sent = [...contracts.values()].flatMap((contract) => {
    const { kind, name } = destinationOf(contract);
    return kind === "stream" ? [] : [kind === "topic" ? `${name}/` : name];
  });
  const all = [...new Set([...intakes.map(({ source }) => addressOf(source)), ...sent])];
  if (all.length > addressesMax)
    logger.warn(
      `Metrics tell the depth of the first ${addressesMax} of ${all.length} addresses of this bus.`,
    );
  return new Set(all.slice(0, addressesMax));
}

/** One broker, looked at no more often than every few seconds. */
class Look {
  readonly #broker: Broker;
  readonly #own: ReadonlySet<string>;
  readonly #runtime: Parts;
  #states: Promise<readonly AddressState[]> | undefined;
  #at = 0;

  constructor(broker: Broker, own: ReadonlySet<string>, runtime: Parts) {
    this.#broker = broker;
    this.#own = own;
    this.#runtime = runtime;
  }

  /** Never rejects: of a broker that does not answer nothing is known. */
  states(): Promise<readonly AddressState[]> {
    const now = this.#runtime.environment.clock.monotonic();
    if (this.#states === undefined || now - this.#at >= goodForMs) {
      this.#at = now;
      this.#states = this.#look();
    }
    return this.#states;
  }

  attributesOf({ address, kind }: AddressState): Record<string, string> {
    const subscriber = address.slice(Math.max(address.indexOf("/"), address.indexOf("@")) + 1);
    return {
      "messaging.system": `waybill_${this.#broker.transport.name}`,
      "messaging.destination.name": address,
      ...(kind === "subscription" && { "messaging.destination.subscription.name": subscriber }),
      ...(kind === "stream" && { "messaging.consumer.group.name": subscriber }),
    };
  }

  async #look(): Promise<readonly AddressState[]> {
    const { environment, logger } = this.#runtime;
    try {
      const { inspection } = this.#broker.transport;
      const states = await answering(environment, inspection.addresses());
      return states.filter(({ address, temporary }) => !temporary && this.#own.has(address));
    } catch (error) {
      logger.debug(
        `${brokerName(this.#broker)} does not say what stands on it: ${messageOf(error)}`,
      );
      return [];
    }
  }
}
