import { batchBounds, batchConcurrencyDefault, batchPrefetch } from "../batch/options.ts";
import { WaybillError } from "../errors.ts";
import type { CallDepthPolicy } from "../runtime.ts";
import { checkOptions, checkServices } from "./wiring-checks.ts";
import { intervalMs, rateWaitMsMax } from "../flow/rate-limit.ts";
import { orderingKey } from "./key.ts";
import type {
  Acceptance,
  Dedup,
  QueueSpec,
  StreamSpec,
  SubscriptionSpec,
  TopicSpec,
  Topology,
} from "../ports/transport.ts";
import { addressOf } from "../ports/transport.ts";
import { retryPolicy } from "../handling/retry.ts";
import { type Intake, type Route, inputSchema } from "./route.ts";
import type { Binding, HandlerDefaults, Service } from "../service.ts";
import { typesOf } from "./former-names.ts";
import { allContracts, sourceOf } from "./sources.ts";
import { type AnyContract, declaredIn } from "./uses.ts";

/** Everything that follows from the services before anything runs. */
export interface Wiring {
  readonly services: readonly Service[];
  /** By name: each contract that any service uses or binds. */
  readonly contracts: ReadonlyMap<string, AnyContract>;
  /** Which service speaks when the bus itself sends a contract: the first that declares it, else the one that binds it. */
  readonly speakers: ReadonlyMap<string, string>;
  readonly intakes: readonly Intake[];
  readonly topology: Topology;
}

const concurrencyDefault = 32;
const lockMsDefault = 30_000;
/** Of calls: whoever waits for one waits 10 seconds by default, and a feed's request is good for 6. */
const callLockMsDefault = 5_000;
const prefetchFactor = 4;

/** What `connect` takes beside the services, as far as it can be wrong. */
export interface WiringOptions {
  readonly handlers?: HandlerDefaults | undefined;
  readonly callDepth?: CallDepthPolicy;
  /** Names this process among all that share the broker. */
  readonly instance?: string;
}

/** Throws WIRING_INVALID with all faults at once. */
export function wire(
  services: readonly Service[],
  { handlers = {}, callDepth, instance }: WiringOptions = {},
): Wiring {
  const faults = [...checkServices(services), ...checkOptions(handlers, callDepth)];
  if (faults.length > 0) {
    const list = faults.map((fault) => `  - ${fault}`).join("\n");
    throw new WaybillError("WIRING_INVALID", `The services do not fit together:\n${list}`, {
      details: { faults },
    });
  }
  const routes = services.flatMap((service) =>
    service.bindings.map((binding) => ({
      ...toRoute(service, binding, handlers),
      source: sourceOf(service, binding, instance),
    })),
  );
  return {
    services,
    contracts: new Map(allContracts(services).map((contract) => [contract.name, contract])),
    speakers: speakersOf(services),
    intakes: toIntakes(routes),
    topology: toTopology(services, routes),
  };
}

function speakersOf(services: readonly Service[]): Map<string, string> {
  const speakers = new Map<string, string>();
  for (const { name, bindings } of services)
    for (const { contract } of bindings) speakers.set(contract.name, name);
  for (const { name, uses } of services.toReversed())
    for (const contract of declaredIn(uses)) speakers.set(contract.name, name);
  return speakers;
}

function toRoute(
  service: Service,
  binding: Binding,
  defaults: HandlerDefaults,
): Omit<Route, "source"> {
  const { contract, verb, options, batch } = binding;
  return {
    service: service.name,
    binding,
    contract,
    handlerName: `${service.name}.${verb}${batch === undefined ? "" : "Batch"}(${contract.name})`,
    schema: inputSchema(contract),
    options: { ...defaults, ...options },
    policy: retryPolicy(defaults.retry, options.retry),
    inPlace:
      verb === "consume" || options.orderedBy !== undefined || orderingKey(contract) !== undefined,
    batch: batch === undefined ? undefined : batchBounds(batch),
  };
}

function toIntakes(routes: readonly Route[]): readonly Intake[] {
  const byAddress = Map.groupBy(routes, ({ source }) => addressOf(source));
  return [...byAddress.values()].map((shared) => {
    const options = shared.map(sizesOf);
    const concurrency = Math.min(...options.map((each) => each.concurrency ?? concurrencyDefault));
    return {
      source: (shared[0] as Route).source,
      routes: shared,
      concurrency,
      prefetch: Math.min(
        ...options.map(
          (each) => each.prefetch ?? prefetchOf(concurrency, shared.length === 1 ? each : {}),
        ),
      ),
      lockMs: Math.max(...shared.map(lockMsOf)),
      start: options.find((each) => each.start !== undefined)?.start ?? "earliest",
    };
  });
}

function lockMsOf({ binding: { verb }, options }: Route): number {
  return (
    options.lockMs ?? (verb === "answer" || verb === "serve" ? callLockMsDefault : lockMsDefault)
  );
}

/** What the bus sets for single messages says nothing about batches. */
function sizesOf({ batch, binding, options }: Route): Route["options"] {
  if (batch === undefined) return options;
  const { concurrency = batchConcurrencyDefault } = binding.options;
  const { prefetch = batchPrefetch(batch, concurrency) } = binding.options;
  return { ...options, concurrency, prefetch };
}

/** Where one rate holds for all that comes, no more is fetched ahead than is handled soon: the rest is for other processes. */
function prefetchOf(concurrency: number, { rateLimit }: Binding["options"]): number {
  const most = concurrency * prefetchFactor;
  if (rateLimit === undefined || rateLimit.key !== undefined) return most;
  const soon = (rateLimit.burst ?? 1) + Math.floor(rateWaitMsMax / intervalMs(rateLimit));
  return Math.min(most, soon);
}

function toTopology(services: readonly Service[], routes: readonly Route[]): Topology {
  const contracts = allContracts(services);
  const queues = new Map<string, QueueSpec>();
  const topics = new Map<string, TopicSpec>();
  const streams = new Map<string, StreamSpec>();
  for (const contract of contracts) {
    if (contract.kind === "stream") streams.set(contract.name, contract);
    else {
      const [specs, name] =
        contract.kind === "event" ? [topics, contract.topic] : [queues, queueOf(contract)];
      const known = specs.get(name);
      const sessions =
        contract.kind !== "event" &&
        (queues.get(name)?.sessions === true || orderingKey(contract) !== undefined);
      specs.set(name, { name, ...longest(known, contract), ...(sessions && { sessions }) });
    }
  }
  for (const { source, service, binding, contract } of routes) {
    if (source.kind !== "queue") continue;
    const owner = { service, place: binding.place };
    const sessions = orderingKey(contract) !== undefined;
    for (const former of typesOf(contract).slice(1)) {
      const forwardTo = { kind: "queue", name: source.name } as const;
      const spec = { name: former, forwardTo, ...(sessions && { sessions }) };
      queues.set(former, { ...queues.get(former), ...spec });
    }
    queues.set(source.name, { ...queues.get(source.name), name: source.name, owner });
  }
  return {
    queues: [...queues.values()],
    topics: [...topics.values()],
    subscriptions: toSubscriptions(routes),
    streams: [...streams.values()].map(({ name, partitions, retention }) => {
      const groups = groupsOf(routes, name);
      return { name, partitions, retention, ...(groups.length > 0 && { groups }) };
    }),
  };
}

function groupsOf(routes: readonly Route[], stream: string): readonly string[] {
  const groups = routes.flatMap(({ source }) =>
    source.kind === "stream" && source.name === stream ? [source.group] : [],
  );
  return [...new Set(groups)];
}

/** The longer window of duplicate detection of those that share a destination. */
function longest(known: Dedup | undefined, contract: AnyContract): Dedup {
  const dedupMs = "dedupMs" in contract ? contract.dedupMs : undefined;
  if (dedupMs === undefined) return known ?? {};
  return { dedupWindowMs: Math.max(known?.dedupWindowMs ?? 0, dedupMs) };
}

function queueOf(contract: Exclude<AnyContract, { kind: "event" | "stream" }>): string {
  return contract.kind === "command" ? contract.queue : contract.name;
}

function toSubscriptions(routes: readonly Route[]): readonly SubscriptionSpec[] {
  const subscriptions = new Map<
    string,
    SubscriptionSpec & { accepts: Acceptance[]; sessions?: boolean }
  >();
  for (const { source, contract, binding } of routes) {
    if (source.kind !== "subscription") continue;
    const { topic, name } = source;
    const { where, set, everyInstance: temporary = false } = binding.options;
    const known = subscriptions.get(addressOf(source)) ?? { topic, name, accepts: [], temporary };
    known.accepts.push({
      type: contract.name,
      ...(where !== undefined && { where }),
      ...(set !== undefined && { set }),
    });
    if (orderingKey(contract) !== undefined) known.sessions = true;
    subscriptions.set(addressOf(source), known);
  }
  return [...subscriptions.values()];
}
