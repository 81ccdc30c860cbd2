import { WaybillError, messageOf } from "../errors.ts";
import { circuitOf } from "../flow/circuit-breaker.ts";
import { intervalMs } from "../flow/rate-limit.ts";
import { orderingKey } from "../wiring/key.ts";
import { destinationOf } from "../handling/message.ts";
import { type AddressState, type Capabilities, addressOf } from "../ports/transport.ts";
import { retryDelayMs } from "../handling/retry.ts";
import type { Intake, Route } from "../wiring/route.ts";
import { answering } from "../operating/answering.ts";
import type { Running } from "../running.ts";
import { runtimeOf } from "../runtime.ts";
import { brokerName } from "../split/homes.ts";
import { delayMsMax } from "../speaking/speech.ts";
import { type AnyContract, declaredIn } from "../wiring/uses.ts";
import type { Explained, Explanation, Order, Rate, Retries, Taker } from "./explanation.ts";
import { failuresOf } from "./failures.ts";
import { inWords } from "./words.ts";

/**
 * What happens to a message of this contract. Reads the broker's counts once; an answer it does not give is said, not guessed.
 * Error: CONTRACT_NOT_DECLARED when no service of the bus uses or binds the contract.
 */
export async function explain(
  { runtime, wiring }: Pick<Running, "runtime" | "wiring">,
  asked: AnyContract,
): Promise<Explanation> {
  const contract = wiring.contracts.get(asked.name);
  if (contract === undefined) {
    throw new WaybillError(
      "CONTRACT_NOT_DECLARED",
      `No connected service uses or handles "${asked.name}", so this bus cannot say what happens to it. Ask a bus whose services do.`,
    );
  }
  const { transport, logger, brokers, environment } = runtimeOf(runtime, contract);
  const { capabilities } = transport;
  const states = await answering(environment, transport.inspection.addresses()).catch(
    (error: unknown) => {
      logger.warn(`${transport.name} does not say what stands on it: ${messageOf(error)}`);
      return undefined;
    },
  );
  const takers = wiring.intakes.flatMap((intake) =>
    intake.routes
      .filter((route) => route.contract === contract)
      .map((route) => toTaker(route, intake, { capabilities, states })),
  );
  const call = contract.kind === "query" || contract.kind === "feed";
  const parts: Explained = {
    contract: contract.name,
    kind: contract.kind,
    version: contract.version,
    transport: transport.name,
    to: destinationOf(contract),
    besides: brokers.filter((broker) => broker.transport !== transport).map(brokerName),
    accepted: call ? undefined : capabilities.durability,
    speakers: wiring.services
      .filter(({ uses }) => declaredIn(uses).includes(contract))
      .map(({ name }) => name),
    schedules: wiring.services.flatMap(({ name: service, schedules = [] }) =>
      schedules.flatMap(({ name, timing, contract: sent }) =>
        sent === contract ? { service, name, timing } : [],
      ),
    ),
    takers,
    elsewhere: states?.filter(
      (state) => isFor(contract, state) && !takers.some(({ address }) => address === state.address),
    ),
    bodyBytesMax: capabilities.bodyBytesMax,
    delayMsMax:
      call || contract.kind === "stream" ? 0 : Math.min(delayMsMax, capabilities.delayMsMax),
    onFailure: failuresOf(contract, takers),
  };
  return printing(parts);
}

/** Printed it is its text; looked into it is data. */
function printing(parts: Explained): Explanation {
  const text = inWords(parts);
  const words = { value: () => text };
  return Object.defineProperties(
    { ...parts, text },
    { toString: words, [Symbol.for("nodejs.util.inspect.custom")]: words },
  );
}

function toTaker(
  route: Route,
  intake: Intake,
  broker: { capabilities: Capabilities; states: readonly AddressState[] | undefined },
): Taker {
  const { service, handlerName, binding, contract } = route;
  const address = addressOf(route.source);
  return {
    service,
    handler: handlerName,
    place: binding.place,
    address,
    where: binding.options.where,
    set: binding.options.set,
    everyInstance: binding.options.everyInstance === true,
    sharedWith: intake.routes.filter((each) => each !== route).map((each) => each.contract.name),
    concurrency: intake.concurrency,
    batch: route.batch,
    prefetch: intake.prefetch,
    lockMs: intake.lockMs,
    timeoutMs: binding.verb === "serve" ? undefined : route.options.timeoutMs,
    order: orderOf(route, broker.capabilities),
    retry: contract.kind === "query" || contract.kind === "feed" ? undefined : retriesOf(route),
    rate: rateOf(route),
    circuit: circuitOf(intake),
    state: broker.states?.find((state) => state.address === address),
  };
}

const keyOrders: Readonly<Record<Capabilities["keyOrder"], Order>> = {
  sessions: "key",
  "single-consumer": "key by one process",
  partitions: "key by partition",
  none: "key in process",
};

function orderOf({ binding, contract }: Route, { keyOrder }: Capabilities): Order {
  if (binding.verb === "consume") return "partition";
  if (orderingKey(contract) !== undefined) return keyOrders[keyOrder];
  return binding.options.orderedBy === undefined ? "none" : "key in process";
}

function rateOf({ options: { rateLimit } }: Route): Rate | undefined {
  if (rateLimit === undefined) return undefined;
  return {
    perSecond: 1_000 / intervalMs(rateLimit),
    burst: rateLimit.burst ?? 1,
    perKey: rateLimit.key !== undefined,
  };
}

function retriesOf({ policy, inPlace }: Route): Retries {
  const { immediate, attempts, jitter } = policy;
  return {
    runsPerDelivery: 1 + immediate,
    attempts,
    pausesMs: Array.from({ length: attempts - 1 }, (_, index) =>
      retryDelayMs(policy, index + 1, 0),
    ),
    jitter,
    inPlace,
  };
}

/** Whether messages of the contract can stand there. Rules and types of other processes' subscriptions are not known here. */
function isFor(contract: AnyContract, { kind, address, dead }: AddressState): boolean {
  const { name } = destinationOf(contract);
  switch (contract.kind) {
    case "event":
      return kind === "topic" ? address === `${name}/` && dead > 0 : address.startsWith(`${name}/`);
    case "stream":
      return kind === "stream" && address.startsWith(`${name}@`);
    default:
      return kind === "queue" && address === name;
  }
}
