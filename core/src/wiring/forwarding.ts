import { WaybillError } from "../errors.ts";
import {
  type AddressSettings,
  type Failure,
  type ForwardTarget,
  type Forwarding,
  type Topology,
  addressOf,
} from "../ports/transport.ts";

/**
 * Most times that a message is forwarded on its way, as Azure Service Bus has it: "Don't create a chain that exceeds four hops. Messages
 * that exceed four hops are dead-lettered." (https://learn.microsoft.com/azure/service-bus-messaging/service-bus-auto-forwarding)
 */
export const forwardHopsMax = 4;

interface Forwarder extends Forwarding {
  readonly address: string;
}

/**
 * Holds what a topology forwards against what is declared already. Throws WIRING_INVALID for a target that does not exist, for dead letters that
 * would go with a temporary queue, and for a circle: through the subscriptions of a topic, too, whatever their rules select.
 */
export function checkForwarding(topology: Topology, known: () => readonly AddressSettings[]): void {
  const declared: readonly Forwarder[] = [
    ...topology.queues.map((spec) => ({ ...spec, address: spec.name })),
    ...topology.subscriptions.map((spec) => ({
      ...spec,
      address: addressOf({ kind: "subscription", topic: spec.topic, name: spec.name }),
    })),
  ];
  const forwarders = declared.filter(
    ({ forwardTo, forwardDeadLettersTo }) =>
      (forwardTo ?? false) !== false || (forwardDeadLettersTo ?? false) !== false,
  );
  if (forwarders.length === 0) return;
  const map = new ForwardMap(topology, declared, known());
  for (const forwarder of forwarders) checkOne(forwarder, map);
}

function checkOne({ address, forwardTo, forwardDeadLettersTo }: Forwarder, map: ForwardMap): void {
  if (typeof forwardTo === "object") {
    if (!map.exists(forwardTo)) throw missing(address, forwardTo);
    const way = map.circle(address);
    if (way !== undefined)
      throw invalid(
        `"${address}" would forward to itself: ${way.join(" → ")}. Let one of them keep its messages.`,
        { address, way },
      );
  }
  if (typeof forwardDeadLettersTo !== "string") return;
  const target = { kind: "queue", name: forwardDeadLettersTo } as const;
  if (forwardDeadLettersTo === address)
    throw invalid(
      `The dead letters of "${address}" stand there anyway. Name another queue, or leave forwardDeadLettersTo out.`,
      { address },
    );
  if (!map.exists(target)) throw missing(address, target);
  if (map.isTemporary(forwardDeadLettersTo))
    throw invalid(
      `The dead letters of "${address}" would go with the temporary queue "${forwardDeadLettersTo}". Name one that stays.`,
      { address, target: forwardDeadLettersTo },
    );
}

/** Who forwards to whom when the topology is declared. */
class ForwardMap {
  readonly #targets = new Map<string, ForwardTarget>();
  readonly #queues: ReadonlySet<string>;
  readonly #temporary: ReadonlySet<string>;
  readonly #subscriptions = new Map<string, Set<string>>();

  constructor(
    { queues, topics }: Topology,
    declared: readonly Forwarder[],
    known: readonly AddressSettings[],
  ) {
    const ofKind = (wanted: AddressSettings["kind"]): readonly string[] =>
      known.filter(({ kind }) => kind === wanted).map(({ address }) => address);
    this.#queues = new Set([...ofKind("queue"), ...queues.map(({ name }) => name)]);
    this.#temporary = new Set([
      ...known.filter(({ temporary }) => temporary).map(({ address }) => address),
      ...queues.filter(({ temporary }) => temporary === true).map(({ name }) => name),
    ]);
    for (const name of [...ofKind("topic").map(topicOf), ...topics.map((topic) => topic.name)])
      this.#subscriptions.set(name, new Set());
    const addresses = [...ofKind("subscription"), ...declared.map(({ address }) => address)];
    for (const address of addresses) this.#subscriptions.get(topicOf(address))?.add(address);
    for (const { address, forwardsTo } of known)
      if (forwardsTo !== undefined) this.#targets.set(address, forwardsTo);
    for (const { address, forwardTo } of declared) {
      if (forwardTo === false) this.#targets.delete(address);
      else if (forwardTo !== undefined) this.#targets.set(address, forwardTo);
    }
  }

  exists({ kind, name }: ForwardTarget): boolean {
    return kind === "queue" ? this.#queues.has(name) : this.#subscriptions.has(name);
  }

  isTemporary(queue: string): boolean {
    return this.#temporary.has(queue);
  }

  /** The way that leads from an address back to itself. */
  circle(start: string): readonly string[] | undefined {
    const seen = new Set<string>();
    const ways: (readonly string[])[] = [[start]];
    for (let way = ways.pop(); way !== undefined; way = ways.pop()) {
      for (const next of this.#after(way.at(-1) ?? start)) {
        if (next === start) return [...way, next];
        if (seen.has(next)) continue;
        seen.add(next);
        ways.push([...way, next]);
      }
    }
    return undefined;
  }

  #after(address: string): Iterable<string> {
    const target = this.#targets.get(address);
    if (target === undefined) return [];
    return target.kind === "queue" ? [target.name] : (this.#subscriptions.get(target.name) ?? []);
  }
}

/** Of `topic/` and of `topic/subscription`. A queue has no topic. */
function topicOf(address: string): string {
  const slash = address.indexOf("/");
  return slash === -1 ? "" : address.slice(0, slash);
}

function missing(address: string, { kind, name }: ForwardTarget): WaybillError {
  return invalid(
    `"${address}" forwards to the ${kind} "${name}", which does not exist. Declare it with it.`,
    { address, target: { kind, name } },
  );
}

function invalid(message: string, details: Readonly<Record<string, unknown>>): WaybillError {
  return new WaybillError("WIRING_INVALID", message, { details });
}

/** Why a message goes no further from an address: it came too far, or the target is gone. */
export function forwardFailure(
  stoppedAt: string,
  { kind, name }: ForwardTarget,
  at: { readonly hops: number; readonly now: number },
): Failure {
  const message =
    at.hops >= forwardHopsMax
      ? `It was forwarded ${at.hops} times and would go on from "${stoppedAt}" to the ${kind} "${name}". A chain has ${forwardHopsMax} hops at most: let it end earlier, then replay this message.`
      : `"${stoppedAt}" forwards to the ${kind} "${name}", which does not exist any more. Declare it, or end the forwarding, then replay this message.`;
  return {
    reason: "UNROUTABLE",
    message,
    service: "",
    handler: "",
    attempts: 0,
    firstFailedAt: at.now,
    lastFailedAt: at.now,
  };
}
