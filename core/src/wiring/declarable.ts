import { WaybillError } from "../errors.ts";
import { contractNameFault } from "./names.ts";
import type { SubscriptionSpec, Topology, Transport } from "../ports/transport.ts";

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
