import { WaybillError } from "../errors.ts";
import { contractNameFault } from "./names.ts";
import type { SubscriptionSpec, Topology, Transport } from "../ports/transport.ts";
import type { Runtime } from "../runtime.ts";
import { Homes } from "../split/homes.ts";
import type { Wiring } from "./wiring.ts";

/** What one broker is to have. */
export interface Declaration {
  readonly transport: Transport;
  readonly topology: Topology;
}

/** What is asked of each broker of the bus. Errors as `declarable`. */
export function declarations(
  { topology, contracts }: Pick<Wiring, "topology" | "contracts">,
  { brokers, transport }: Pick<Runtime, "brokers" | "transport">,
  deadLettersTo: string | false | undefined,
): readonly Declaration[] {
  const [first, ...others] = brokers;
  if (first === undefined || others.length === 0)
    return [{ transport, topology: declarable(topology, transport, deadLettersTo) }];
  const homes = new Homes([first, ...others], contracts.values());
  return homes.split(topology).map(([broker, part]) => {
    // Who keeps no queue of ours and no subscription has nothing of which letters could die.
    const receives =
      part.subscriptions.length > 0 || part.queues.some(({ owner }) => owner !== undefined);
    const letters = receives ? deadLettersTo : undefined;
    return {
      transport: broker.transport,
      topology: declarable(part, broker.transport, letters),
    };
  });
}

/** What is asked of this broker: not what core does itself, and where dead letters go. Throws OPTION_INVALID or NOT_SUPPORTED. */
export function declarable(
  topology: Topology,
  { name, capabilities }: Pick<Transport, "name" | "capabilities">,
  deadLettersTo: string | false | undefined,
): Topology {
  const asked = capabilities.ruleActions
    ? topology
    : { ...topology, subscriptions: topology.subscriptions.map(withoutActions) };
  if (deadLettersTo === undefined) return asked;
  const fault = deadLettersTo === false ? undefined : contractNameFault(deadLettersTo);
  if (fault !== undefined)
    throw new WaybillError(
      "OPTION_INVALID",
      `deadLettersTo is ${JSON.stringify(deadLettersTo)}, which is no legal name of a queue: ${fault}.`,
    );
  if (capabilities.forwardHopsMax === 0)
    throw new WaybillError(
      "NOT_SUPPORTED",
      `connect({ deadLettersTo }) is set, and ${name} does not forward dead letters. Leave it out: they stand at their addresses.`,
    );
  const settings = { forwardDeadLettersTo: deadLettersTo };
  const isOwn = (queue: Topology["queues"][number]): boolean =>
    queue.owner !== undefined && queue.name !== deadLettersTo;
  const queues = asked.queues.map((queue) => (isOwn(queue) ? { ...queue, ...settings } : queue));
  const isMissing =
    deadLettersTo !== false && queues.every((queue) => queue.name !== deadLettersTo);
  return {
    ...asked,
    queues: isMissing ? [...queues, { name: deadLettersTo }] : queues,
    subscriptions: asked.subscriptions.map((subscription) => ({ ...subscription, ...settings })),
  };
}

function withoutActions(subscription: SubscriptionSpec): SubscriptionSpec {
  const accepts = subscription.accepts.map(({ type, where }) => ({
    type,
    ...(where !== undefined && { where }),
  }));
  return { ...subscription, accepts };
}
