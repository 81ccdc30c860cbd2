import { type Bus, ConnectedBus } from "./bus.ts";
import { Calls } from "./calls/calls.ts";
import { LocalChannel } from "./calls/local-channel.ts";
import { RouteResponder } from "./calls/responder.ts";
import { type Served, serveCalls } from "./calls/served.ts";
import { Remotes } from "./calls/remotes.ts";
import { Captures } from "./captures/captures.ts";
import { checkCapabilities } from "./wiring/capability-checks.ts";
import { declarations } from "./wiring/declarable.ts";
import { type Codec, jsonCodec } from "./codec.ts";
import { consoleLogger } from "./console-logger.ts";
import { systemEnvironment } from "./environment/system.ts";
import { type CircuitBreaker, circuitBreakers } from "./flow/circuit-breaker.ts";
import { watchLag } from "./flow/loop-lag.ts";
import type { Listener } from "./handling/listener.ts";
import { toListener } from "./handling/listening.ts";
import { closeAfterFailure, openRuntime } from "./opening.ts";
import { watchDepths } from "./operating/depths.ts";
import { tellOfPauses } from "./operating/pausing.ts";
import {
  type IncomingStep,
  type UserStep,
  compileIncoming,
  compileOutgoing,
  placeSteps,
} from "./handling/pipeline.ts";
import type { Environment } from "./ports/environment.ts";
import type { Logger } from "./ports/logger.ts";
import type { WireTransform } from "./ports/wire.ts";
import type { Intake } from "./wiring/route.ts";
import type { Running } from "./running.ts";
import { type CallDepthPolicy, type Runtime, runtimeOf } from "./runtime.ts";
import { forgetSagas } from "./sagas/forgetting.ts";
import { Delays } from "./schedules/delays.ts";
import { schedulersOf } from "./schedules/schedulers.ts";
import type { SplitTransports, TransportChoice } from "./split/options.ts";
import type { HandlerDefaults, Service } from "./service.ts";
import { allContracts } from "./wiring/sources.ts";
import { Stores } from "./stores/stores.ts";
import { Speech } from "./speaking/speech.ts";
import { loadMeter } from "./telemetry.ts";
import { callSteps, messageSteps, outgoingSteps } from "./steps/index.ts";
import { type AnyContract, type DeclaredIn, declaredIn } from "./wiring/uses.ts";
import { OpenViews } from "./views/open-views.ts";
import { Vigil } from "./vigil.ts";
import { type DeclareMode, checkDeclareMode, declareAll } from "./wiring/verifying.ts";
import { type Wiring, wire } from "./wiring/wiring.ts";

export interface ConnectOptions<Services extends readonly Service[]> {
  /**
   * Where messages are stored and forwarded: `embedded({ directory })`, `memory()`, …, or a URL: `sqlite:./data`, `memory:`, `amqp://127.0.0.1`.
   * Or one for each kind: `{ commands: …, events: …, default: … }`.
   */
  readonly transport: TransportChoice | SplitTransports;
  readonly services: Services;
  /** For every handler that does not say otherwise: concurrency, lockMs, prefetch, retry. */
  readonly handlers?: HandlerDefaults;
  /**
   * One queue among whose dead letters those of all commands and subscriptions stand that the services handle: a team's one place to look. Each
   * keeps its failure and where it died (`origin`), and a replay returns it there. false ends it; absent: as it was.
   */
  readonly deadLettersTo?: string | false;
  /**
   * create: what is missing on the broker is made. verify: nothing is made but what is temporary, and connecting rejects with WIRING_INVALID and a
   * list of what is missing or otherwise; an operator brings it there by what `topology()` prints. Default "create".
   */
  readonly declare?: DeclareMode;
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
    const runtime = await openRuntime({
      environment,
      callDepth,
      vigil,
      instance,
      transport: options.transport,
      logger: options.logger ?? consoleLogger,
      codec: options.codec ?? jsonCodec,
      wire: options.wire ?? [],
      contracts: [...wiring.contracts.values()],
      declare: options.declare ?? "create",
    });
    try {
      return await runWithStores(runtime, wiring, options);
    } catch (error) {
      await closeAfterFailure(runtime);
      throw error;
    }
  } finally {
    release();
  }
}

type RunOptions = Pick<
  ConnectOptions<readonly Service[]>,
  "steps" | "localCalls" | "deadLettersTo" | "declare"
>;

async function runWithStores(
  runtime: Runtime,
  wiring: Wiring,
  options: RunOptions,
): Promise<ConnectedBus> {
  const stores = await Stores.open(wiring.services, runtime);
  try {
    const views = new OpenViews(wiring.services, stores);
    await views.declare();
    return new ConnectedBus(await run(runtime, wiring, { ...options, stores, views }));
  } catch (error) {
    await stores.close(0);
    throw error;
  }
}

async function run(
  runtime: Runtime,
  wiring: Wiring,
  options: RunOptions & { readonly stores: Stores; readonly views: OpenViews },
): Promise<Running> {
  const { declare = "create", stores, views } = options;
  checkCapabilities(wiring, runtime);
  checkDeclareMode(declare, runtime.brokers, wiring.topology);
  const speech = toSpeech(runtime, wiring, options.steps ?? []);
  const remotes = new Remotes(runtime);
  const local = new LocalChannel(runtime.environment);
  const calls = new Calls(speech, runtime, (contract) =>
    options.localCalls !== false && local.has(contract.name) ? local : remotes.of(contract),
  );
  speech.useCalls(calls);
  speech.useViews(views);
  const delays = new Delays(stores, runtime);
  speech.useDelays(delays);
  const steps = options.steps ?? [];
  const breakers = circuitBreakers(wiring.intakes, runtime);
  const kept = { stores, views, delays };
  const messages = placeSteps(messageSteps(speech, breakers, kept), "incoming", steps);
  const callers = placeSteps(callSteps(speech), "incoming", forCalls(steps, speech));
  const compiling = { runtime, speech, messages, callers, breakers };
  const { responders, listeners } = compileIntakes(wiring, compiling);
  await declareAll(declarations(wiring, runtime, options.deadLettersTo), declare);
  await tellOfPauses({ runtime, wiring });
  const mayCreate = declare === "create";
  const captures = await Captures.open(wiring.services, { runtime, speech, mayCreate });
  const servings = await serveAll(responders, { runtime, local, remotes });
  const meter = await loadMeter();
  stores.start();
  for (const listener of listeners) listener.start();
  const isAwake = wiring.services.some(isScheduled) || !captures.isEmpty;
  if (wiring.intakes.length > 0 || isAwake) runtime.vigil.hold();
  const schedulers = schedulersOf(wiring.services, options.stores, { speech, runtime });
  await Promise.all(schedulers.map((scheduler) => scheduler.start()));
  captures.start();
  return {
    runtime,
    wiring,
    speech,
    calls,
    listeners,
    servings,
    breakers: [...breakers.values()],
    loop: watchLag(wiring.intakes, runtime),
    stores,
    views,
    schedulers,
    delays,
    captures,
    endForgetting: forgetSagas(wiring.services, stores, runtime),
    channels: [local, ...remotes.all],
    endDepths: meter === undefined ? undefined : watchDepths(meter, wiring, runtime),
  };
}

interface Compiling {
  readonly runtime: Runtime;
  readonly speech: Speech;
  /** For messages. */
  readonly messages: readonly IncomingStep[];
  /** For calls. */
  readonly callers: readonly IncomingStep[];
  readonly breakers: ReadonlyMap<string, CircuitBreaker>;
}

/** All is compiled before anything is declared or begins to receive: what cannot work leaves no trace. */
function compileIntakes(
  wiring: Wiring,
  { runtime, speech, messages, callers, breakers }: Compiling,
): { readonly responders: Map<Intake, RouteResponder>; readonly listeners: readonly Listener[] } {
  const responders = new Map<Intake, RouteResponder>();
  const listeners: Listener[] = [];
  for (const intake of wiring.intakes) {
    const [route] = intake.routes;
    if (route === undefined) continue;
    const own = runtimeOf(runtime, route.contract);
    if (route.binding.verb === "answer" || route.binding.verb === "serve") {
      const incoming = compileIncoming(callers, route, own);
      responders.set(intake, new RouteResponder(route, incoming, { speech, runtime: own }));
    } else listeners.push(toListener(intake, { runtime: own, speech, steps: messages, breakers }));
  }
  return { responders, listeners };
}

function isScheduled({ schedules = [] }: Service): boolean {
  return schedules.length > 0;
}

async function serveAll(
  responders: ReadonlyMap<Intake, RouteResponder>,
  { runtime, local, remotes }: { runtime: Runtime; local: LocalChannel; remotes: Remotes },
): Promise<readonly Served[]> {
  const servings: Served[] = [];
  for (const [intake, responder] of responders) {
    const remote = remotes.of({ kind: responder.verb === "answer" ? "query" : "feed" });
    servings.push(await serveCalls(intake, responder, { runtime, local, remote }));
  }
  return servings;
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
    [...contracts].map((contract) => [
      contract,
      compileOutgoing(steps, contract, runtimeOf(runtime, contract)),
    ]),
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
