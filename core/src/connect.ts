import { type Bus, ConnectedBus } from "./bus.ts";
import { Calls } from "./calls/calls.ts";
import { LocalChannel } from "./calls/local-channel.ts";
import { RouteResponder } from "./calls/responder.ts";
import { type Served, serveCalls } from "./calls/served.ts";
import { TransportChannel } from "./calls/transport-channel.ts";
import { checkCapabilities } from "./wiring/capability-checks.ts";
import { declarable } from "./wiring/declarable.ts";
import { type Codec, jsonCodec } from "./codec.ts";
import { consoleLogger } from "./console-logger.ts";
import { Counters } from "./operating/counters.ts";
import { systemEnvironment } from "./environment/system.ts";
import { messageOf } from "./errors.ts";
import { circuitBreakers } from "./flow/circuit-breaker.ts";
import { watchLag } from "./flow/loop-lag.ts";
import type { Listener } from "./handling/listener.ts";
import { toListener } from "./handling/listening.ts";
import { tellOfPauses } from "./operating/pausing.ts";
import {
  type UserStep,
  compileIncoming,
  compileOutgoing,
  placeSteps,
} from "./handling/pipeline.ts";
import type { Environment } from "./ports/environment.ts";
import type { Logger } from "./ports/logger.ts";
import type { WireTransform } from "./ports/wire.ts";
import type { TransportFactory, TransportHost } from "./ports/transport.ts";
import type { Intake } from "./wiring/route.ts";
import type { Running } from "./running.ts";
import type { CallDepthPolicy, Runtime } from "./runtime.ts";
import type { HandlerDefaults, Service } from "./service.ts";
import { formerDestinations } from "./wiring/former-names.ts";
import { allContracts } from "./wiring/sources.ts";
import { Speech } from "./speaking/speech.ts";
import { callSteps, messageSteps, outgoingSteps } from "./steps/index.ts";
import { loadTelemetry } from "./telemetry.ts";
import { type AnyContract, type DeclaredIn, declaredIn } from "./wiring/uses.ts";
import { Vigil } from "./vigil.ts";
import { WiredTransport } from "./wire/transport.ts";
import { Wire } from "./wire/wire.ts";
import { transportOf } from "./transport-url.ts";
import { type Wiring, wire } from "./wiring/wiring.ts";

export interface ConnectOptions<Services extends readonly Service[]> {
  /** Where messages are stored and forwarded: `embedded({ directory })`, `memory()`, …, or a URL: `sqlite:./data`, `memory:`, `amqp://127.0.0.1`. */
  readonly transport: TransportFactory | string;
  readonly services: Services;
  /** For every handler that does not say otherwise: concurrency, lockMs, prefetch, retry. */
  readonly handlers?: HandlerDefaults;
  /**
   * One queue among whose dead letters those of all commands and subscriptions stand that the services handle: a team's one place to look. Each
   * keeps its failure and where it died (`origin`), and a replay returns it there. false ends it; absent: as it was.
   */
  readonly deadLettersTo?: string | false;
  /** Default: warnings and errors on standard error. */
  readonly logger?: Logger;
  /** Default: JSON. */
  readonly codec?: Codec;
  /**
   * What is done to every body between codec and broker, in this order: compression, encryption, a claim check, a signature. Sender
   * and receiver give the same list. Calls that stay in this process skip it. Default: nothing.
   */
  readonly wire?: readonly WireTransform[];
  readonly steps?: readonly UserStep[];
  readonly callDepth?: Partial<CallDepthPolicy>;
  /** Calls whose owner is in this process skip the broker. Default true. */
  readonly localCalls?: boolean;
  /** Clock, timers, chance and ids. Default: the system's. */
  readonly environment?: Environment;
}

/** What the bus accepts: everything its services use, and everything they bind. */
export type DeclaredBy<Services extends readonly Service[]> =
  | DeclaredIn<Services[number]["uses"]>
  | (Services[number] extends Service<any, infer Bound> ? Bound : never);

/** The type of a bus that connects one service: what a function that takes the bus names. */
export type BusOf<S extends Service> = Bus<DeclaredBy<readonly [S]>>;

const callDepthDefault: CallDepthPolicy = { max: 3, policy: "warn" };

/**
 * Checks the services, opens the transport, declares what they need on the broker and starts to receive.
 * Errors: WIRING_INVALID with every fault at once; OWNED_TWICE when a live process elsewhere owns one of the
 * commands; whatever the transport says when it cannot be opened. After an error nothing is left running.
 */
export async function connect<const Services extends readonly Service[]>(
  options: ConnectOptions<Services>,
): Promise<Bus<DeclaredBy<Services>>> {
  const callDepth = { ...callDepthDefault, ...options.callDepth };
  const environment = options.environment ?? systemEnvironment;
  const instance = environment.id();
  const wiring = wire(options.services, { handlers: options.handlers, callDepth, instance });
  const vigil = new Vigil(environment);
  // Connecting may wait for the broker, and nothing else may keep the process meanwhile.
  const release = vigil.hold();
  try {
    const runtime = await openRuntime(options, { environment, callDepth, vigil, instance });
    try {
      return new ConnectedBus(await run(runtime, wiring, options));
    } catch (error) {
      await closeAfterFailure(runtime);
      throw error;
    }
  } finally {
    release();
  }
}

type OpenOptions = Pick<
  ConnectOptions<readonly Service[]>,
  "transport" | "services" | "logger" | "codec" | "wire"
>;

async function openRuntime(
  options: OpenOptions,
  parts: Pick<Runtime, "environment" | "callDepth" | "vigil" | "instance">,
): Promise<Runtime> {
  const { environment, instance } = parts;
  const counters = new Counters();
  const logger = options.logger ?? consoleLogger;
  const factory =
    typeof options.transport === "string"
      ? await transportOf(options.transport)
      : options.transport;
  const telemetry = await loadTelemetry(factory.name, environment.clock);
  const opened = await factory.open({
    environment,
    logger,
    instance,
    unrouted: reportUnrouted(counters, logger),
    duplicate: ({ header }) => void (counters.of(header.type).duplicates += 1),
  });
  const codec = options.codec ?? jsonCodec;
  const shared = { ...parts, logger, counters, codec, telemetry, instance };
  const { wire: transforms = [] } = options;
  if (transforms.length === 0) return { ...shared, transport: opened, wire: undefined };
  try {
    const wired = new Wire(transforms, {
      environment,
      logger,
      transportName: opened.name,
      bodyBytesMax: opened.capabilities.bodyBytesMax,
      formerly: formerDestinations(allContracts(options.services)),
    });
    return { ...shared, transport: new WiredTransport(opened, wired), wire: wired };
  } catch (error) {
    await closeAfterFailure({ transport: opened, logger });
    throw error;
  }
}

async function closeAfterFailure({
  transport,
  logger,
}: Pick<Runtime, "transport" | "logger">): Promise<void> {
  try {
    await transport[Symbol.asyncDispose]();
  } catch (error) {
    logger.error(`${transport.name} did not close well: ${messageOf(error)}`);
  }
}

function reportUnrouted(counters: Counters, logger: Logger): TransportHost["unrouted"] {
  return ({ header }, topic) => {
    counters.of(header.type).unrouted += 1;
    const text = `"${header.type}" was published and no service subscribes to it. It is kept among the dead letters of "${topic}/"; replay it when a subscriber is there.`;
    logger.warn(text, { id: header.id });
  };
}

type RunOptions = Pick<
  ConnectOptions<readonly Service[]>,
  "steps" | "localCalls" | "deadLettersTo"
>;

async function run(runtime: Runtime, wiring: Wiring, options: RunOptions): Promise<Running> {
  const { transport } = runtime;
  checkCapabilities(wiring, transport, runtime.logger);
  const speech = toSpeech(runtime, wiring, options.steps ?? []);
  const remote = new TransportChannel(runtime);
  const local = new LocalChannel(runtime.environment);
  const calls = new Calls(speech, runtime, (contract) =>
    options.localCalls !== false && local.has(contract) ? local : remote,
  );
  speech.useCalls(calls);
  const steps = options.steps ?? [];
  const breakers = circuitBreakers(wiring.intakes, runtime);
  const messages = placeSteps(messageSteps(speech, breakers), "incoming", steps);
  const callers = placeSteps(callSteps(speech), "incoming", forCalls(steps, speech));
  // All is compiled before anything is declared or begins to receive: what cannot work leaves no trace.
  const responders = new Map<Intake, RouteResponder>();
  const listeners: Listener[] = [];
  for (const intake of wiring.intakes) {
    const [route] = intake.routes;
    if (
      route !== undefined &&
      (route.binding.verb === "answer" || route.binding.verb === "serve")
    ) {
      responders.set(
        intake,
        new RouteResponder(route, compileIncoming(callers, route, runtime), { speech, runtime }),
      );
    } else listeners.push(toListener(intake, { runtime, speech, steps: messages, breakers }));
  }
  await transport.declare(declarable(wiring.topology, transport, options.deadLettersTo));
  await tellOfPauses({ runtime, wiring });
  const servings: Served[] = [];
  for (const [intake, responder] of responders)
    servings.push(await serveCalls(intake, responder, { runtime, local, remote }));
  for (const listener of listeners) listener.start();
  if (wiring.intakes.length > 0) runtime.vigil.hold();
  return {
    runtime,
    wiring,
    speech,
    calls,
    listeners,
    servings,
    breakers: [...breakers.values()],
    loop: watchLag(wiring.intakes, runtime),
    channels: [local, remote],
  };
}

/** A user's step beside `settle`, `exhaust` or `retry` has no place in a call, which is neither settled nor retried. Nor has one beside such a step. */
function forCalls(steps: readonly UserStep[], speech: Speech): readonly UserStep[] {
  const names = new Set(callSteps(speech).map(({ name }) => name));
  return steps.filter(({ before, after, direction, step }) => {
    if (direction !== "incoming" || !names.has(before ?? after ?? "")) return false;
    names.add(step.name);
    return true;
  });
}

function toSpeech(runtime: Runtime, wiring: Wiring, added: readonly UserStep[]): Speech {
  const steps = placeSteps(outgoingSteps, "outgoing", added);
  const contracts = new Set(allContracts(wiring.services));
  const senders = new Map(
    [...contracts].map((contract) => [contract, compileOutgoing(steps, contract, runtime)]),
  );
  const uses = new Map<string, Set<AnyContract>>();
  for (const service of wiring.services) uses.set(service.name, new Set(declaredIn(service.uses)));
  // The bus speaks for a service that binds a contract without using it: that is how a command enters the system.
  for (const [name, speaker] of wiring.speakers) {
    const contract = wiring.contracts.get(name);
    if (contract !== undefined) uses.get(speaker)?.add(contract);
  }
  return new Speech(runtime, senders, uses);
}
