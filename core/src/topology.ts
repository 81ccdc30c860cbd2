import {
  type Definitions,
  type SubscriptionSpec,
  type Topology,
  type TransportFactory,
  permanentPart,
} from "./ports/transport.ts";
import type { Service } from "./service.ts";
import { Homes } from "./split/homes.ts";
import {
  type Kind,
  type Share,
  type SplitTransports,
  type TransportChoice,
  sharesOf,
} from "./split/options.ts";
import { transportOf } from "./transport-url.ts";
import { wire } from "./wiring/wiring.ts";

export interface TopologyOptions {
  /** As in `connect`. Nothing is opened. */
  readonly transport: TransportChoice | SplitTransports;
  readonly services: readonly Service[];
}

/** What one broker has to have before services can run on it that may create nothing. */
export interface BrokerTopology {
  readonly transport: string;
  readonly kinds: readonly Kind[];
  /** In Waybill's words, as plain data: what is temporary is left out, for it ends with the process that makes it. */
  readonly topology: Topology;
  /** In the broker's own; undefined where it has no such thing. */
  readonly definitions: Definitions | undefined;
}

/**
 * What these services need on each of their brokers, without connecting: for operators who forbid applications to create anything. Bring it
 * onto the broker, then connect with `declare: "verify"`. Errors: WIRING_INVALID, OPTION_INVALID.
 *
 * @example
 * const [broker] = await topology({ transport: rabbitmq({ url }), services: [ordering] });
 * await writeFile("definitions.json", JSON.stringify(broker?.definitions?.data)); // rabbitmqctl import_definitions definitions.json
 */
export async function topology({
  transport,
  services,
}: TopologyOptions): Promise<readonly BrokerTopology[]> {
  const wiring = wire(services);
  const contracts = [...wiring.contracts.values()];
  const shares = await Promise.all(sharesOf(transport, contracts).map(opened));
  const [first, ...others] = shares;
  if (first === undefined) return [];
  const parts = new Homes([first, ...others], contracts).split(plain(wiring.topology));
  return Promise.all(
    parts.map(async ([{ kinds, factory }, part]) => ({
      transport: factory.name,
      kinds,
      topology: part,
      definitions: await factory.definitions?.(part),
    })),
  );
}

async function opened({
  choice,
  kinds,
}: Share): Promise<{ kinds: readonly Kind[]; factory: TransportFactory }> {
  return { kinds, factory: typeof choice === "string" ? await transportOf(choice) : choice };
}

/** Who owns a queue is known when it runs. */
function plain(whole: Topology): Topology {
  const { queues, topics, subscriptions, streams } = permanentPart(whole);
  return {
    queues: queues.map(({ owner: _owner, ...spec }) => spec),
    topics,
    subscriptions: subscriptions.map(
      ({ temporary: _temporary, ...spec }): SubscriptionSpec => spec,
    ),
    streams,
  };
}
