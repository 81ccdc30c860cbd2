import type { Destination } from "../ports/transport.ts";
import { type Broker, brokerName } from "../split/homes.ts";
import type { Kind } from "../split/options.ts";

/** Which messages of an outbox leave over one broker. */
export interface OutboxRoute {
  /** Undefined where one broker carries everything. */
  readonly broker: string | undefined;
  /** Undefined: all. */
  readonly kinds: readonly Destination["kind"][] | undefined;
}

/** What is written in transactions: no queries and no feeds. */
const kindOf: Readonly<Record<Destination["kind"], Kind>> = {
  queue: "command",
  topic: "event",
  stream: "stream",
};

/** One for each broker that carries any of it. What no broker is named for leaves over the first, as everything does that is sent. */
export function outboxRoutes(brokers: readonly Broker[]): readonly OutboxRoute[] {
  const byBroker = Map.groupBy(
    Object.keys(kindOf) as Destination["kind"][],
    (kind) => brokers.find(({ kinds }) => kinds.includes(kindOf[kind])) ?? brokers[0],
  );
  if (byBroker.size <= 1) return [{ broker: undefined, kinds: undefined }];
  return [...byBroker].map(([broker, kinds]) => ({
    broker: broker === undefined ? undefined : brokerName(broker),
    kinds,
  }));
}
