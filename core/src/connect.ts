import { type Bus, ConnectedBus } from "./bus.ts";
import { Calls } from "./calls/calls.ts";
import { LocalChannel } from "./calls/local-channel.ts";
import { RouteResponder } from "./calls/responder.ts";
import { TransportChannel } from "./calls/transport-channel.ts";
import { type Codec, jsonCodec } from "./codec.ts";
import { consoleLogger } from "./console-logger.ts";
import { Counters } from "./counters.ts";
import { systemEnvironment } from "./environment/system.ts";
import { Listener } from "./listener.ts";
import { MessageRunner } from "./message-runner.ts";
import { type UserStep, compileIncoming, compileOutgoing, placeSteps } from "./pipeline.ts";
import type { Channel, Serving } from "./ports/channel.ts";
import type { Environment } from "./ports/environment.ts";
import type { Logger } from "./ports/logger.ts";
import type { Transport, TransportFactory } from "./ports/transport.ts";
import type { RetryPolicy } from "./retry.ts";
import type { Intake } from "./route.ts";
import type { CallDepthPolicy, Runtime } from "./runtime.ts";
import type { Service } from "./service.ts";
import { allContracts } from "./sources.ts";
import { Speech } from "./speech.ts";
import { callSteps, messageSteps, outgoingSteps } from "./steps/index.ts";
import { loadTelemetry } from "./telemetry.ts";
import { type AnyContract, type DeclaredIn, declaredIn } from "./uses.ts";
import { type Wiring, wire } from "./wiring.ts";

export interface ConnectOptions<Services extends readonly Service[]> {
  /** Where messages are stored and forwarded: `embedded({ directory })`, `memory()`, … */
  readonly transport: TransportFactory;
  readonly services: Services;
  /** For every handler that has no policy of its own. */
  readonly retry?: RetryPolicy;
  /** Default: warnings and errors on standard error. */
  readonly logger?: Logger;
  /** Default: JSON. */
  readonly codec?: Codec;
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

/** Everything that runs behind a bus. */
export interface Running {
  readonly runtime: Runtime;
  readonly wiring: Wiring;
  readonly speech: Speech;
  readonly calls: Calls;
  readonly listeners: readonly Listener[];
  readonly servings: readonly Serving[];
  readonly channels: readonly Channel[];
}

const callDepthDefault: CallDepthPolicy = { max: 3, policy: "warn" };

/**
 * Checks the services, opens the transport, declares what they need on the broker and starts to receive.
 * Errors: WIRING_INVALID with every fault at once; OWNED_TWICE when a live process elsewhere owns one of the
 * commands; whatever the transport says when it cannot be opened. After an error nothing is left running.
 */
export async function connect<const Services extends readonly Service[]>(
  options: ConnectOptions<Services>,
): Promise<Bus<DeclaredBy<Services>>> {
  const wiring = wire(options.services, options.retry);
  const counters = new Counters();
  const logger = options.logger ?? consoleLogger;
  const environment = options.environment ?? systemEnvironment;
  const instance = environment.id();
  const transport = await options.transport.open({
    environment,
    logger,
    instance,
    unrouted: ({ header }, topic) => {
      counters.of(header.type).unrouted += 1;
      const text = `"${header.type}" was published and no service subscribes to it. It is kept among the dead letters of "${topic}/"; replay it when a subscriber is there.`;
      logger.warn(text, { id: header.id });
    },
  });
  const runtime: Runtime = {
    environment,
    logger,
    counters,
    codec: options.codec ?? jsonCodec,
    transport,
    telemetry: await loadTelemetry(transport.name),
    instance,
    callDepth: { ...callDepthDefault, ...options.callDepth },
  };
  try {
    return new ConnectedBus(await run(runtime, wiring, options)) as unknown as Bus<DeclaredBy<Services>>;
  } catch (error) {
    await transport[Symbol.asyncDispose]();
    throw error;
  }
}

type RunOptions = Pick<ConnectOptions<readonly Service[]>, "steps" | "localCalls">;

async function run(runtime: Runtime, wiring: Wiring, options: RunOptions): Promise<Running> {
  const { transport } = runtime;
  checkCapabilities(wiring, transport, runtime.logger);
  const speech = toSpeech(runtime, wiring, options.steps ?? []);
  const remote = new TransportChannel(runtime);
  const local = new LocalChannel();
  const calls = new Calls(speech, runtime, (contract) => (options.localCalls !== false && local.has(contract) ? local : remote));
  speech.useCalls(calls);
  const lists = {
    message: placeSteps(messageSteps(speech), "incoming", options.steps ?? []),
    call: placeSteps(callSteps(speech), "incoming", forCalls(options.steps ?? [], speech)),
  };
  await transport.declare(wiring.topology);
  const servings: Serving[] = [];
  const listeners: Listener[] = [];
  for (const intake of wiring.intakes) {
    const [route] = intake.routes;
    if (route !== undefined && (route.binding.verb === "answer" || route.binding.verb === "serve")) {
      const responder = new RouteResponder(route, compileIncoming(lists.call, route, runtime), { speech, runtime });
      servings.push(await local.serve(route.contract.name, responder));
      servings.push(await remote.serve(route.contract.name, responder, intake));
    } else listeners.push(toListener(intake, runtime, lists.message));
  }
  for (const listener of listeners) listener.start();
  return { runtime, wiring, speech, calls, listeners, servings, channels: [local, remote] };
}

function toListener(intake: Intake, runtime: Runtime, steps: Parameters<typeof compileIncoming>[0]): Listener {
  const runner = new MessageRunner(intake, runtime, steps);
  const { source, concurrency, prefetch, lockMs, start } = intake;
  return new Listener(
    {
      source,
      concurrency,
      prefetch,
      lockMs,
      start,
      ...(runner.ordered && { lane: (delivery) => runner.lane(delivery) }),
      run: (entry) => runner.run(entry),
      released: (entry) => runner.released(entry),
    },
    runtime,
  );
}

/** A user's step beside `settle`, `exhaust` or `retry` has no place in a call, which is neither settled nor retried. */
function forCalls(steps: readonly UserStep[], speech: Speech): readonly UserStep[] {
  const names = new Set(callSteps(speech).map(({ name }) => name));
  return steps.filter(({ before, after }) => names.has(before ?? after ?? ""));
}

function toSpeech(runtime: Runtime, wiring: Wiring, added: readonly UserStep[]): Speech {
  const steps = placeSteps(outgoingSteps, "outgoing", added);
  const contracts = new Set(allContracts(wiring.services));
  const senders = new Map([...contracts].map((contract) => [contract, compileOutgoing(steps, contract, runtime)]));
  const uses = new Map<string, Set<AnyContract>>();
  for (const service of wiring.services) uses.set(service.name, new Set(declaredIn(service.uses)));
  // The bus speaks for a service that binds a contract without using it: that is how a command enters the system.
  for (const [name, speaker] of wiring.speakers) {
    const contract = wiring.contracts.get(name);
    if (contract !== undefined) uses.get(speaker)?.add(contract);
  }
  return new Speech(runtime, senders, uses);
}

function checkCapabilities({ intakes }: Wiring, { name, capabilities }: Transport, logger: Logger): void {
  for (const { routes } of intakes) {
    for (const { binding, handlerName } of routes) {
      if (binding.options.orderedBy === undefined || capabilities.sessions) continue;
      logger.info(`${handlerName} is ordered by key within each process; ${name} has no sessions to order it across several instances.`);
    }
  }
}
