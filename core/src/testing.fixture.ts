import { setImmediate } from "node:timers";
import { setTimeout as pause } from "node:timers/promises";
import { type ConnectOptions, type DeclaredBy, connect } from "./connect.ts";
import type { Bus } from "./bus.ts";
import type { Envelope, Header } from "./envelope.ts";
import { systemEnvironment } from "./environment/system.ts";
import { memory } from "./memory/index.ts";
import type { Environment } from "./ports/environment.ts";
import type { LogFields, Logger } from "./ports/logger.ts";
import type { Inspection, StoredMessage, Transport, TransportFactory } from "./ports/transport.ts";
import type { Service } from "./service.ts";

export interface LogLine {
  readonly level: keyof Logger;
  readonly message: string;
  readonly fields: LogFields;
}

export interface RecordingLogger extends Logger {
  readonly lines: readonly LogLine[];
  has(level: keyof Logger, pattern: RegExp): boolean;
}

export function recordingLogger(): RecordingLogger {
  const lines: LogLine[] = [];
  const write =
    (level: keyof Logger) =>
    (message: string, fields: LogFields = {}): void =>
      void lines.push({ level, message, fields });
  return {
    lines,
    has: (level, pattern) =>
      lines.some((line) => line.level === level && pattern.test(line.message)),
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
  };
}

/** Not a bound of what is tested: a busy machine may stop the process for seconds. */
const patienceMs = 30_000;

/** Waits until the condition holds; fails with its text when it does not. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  const giveUpAt = performance.now() + patienceMs;
  while (!(await condition())) {
    if (performance.now() > giveUpAt) throw new Error(`never happened: ${what}`);
    await pause(1);
  }
}

/** Lets everything that is under way come to rest: for what happens within a few turns of the loop, or not at all. */
export async function turns(count = 20): Promise<void> {
  for (let left = count; left > 0; left--)
    await new Promise<void>((resolve) => void setImmediate(resolve));
}

export interface Gate {
  readonly passed: Promise<void>;
  open(): void;
}

export function gate(): Gate {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { passed: promise, open: resolve };
}

export interface ManualEnvironment extends Environment {
  /** Moves both clocks, timer by timer, and lets each one's work come to rest. */
  advance(ms: number): Promise<void>;
  readonly timersSet: number;
}

/** An environment whose clock moves by hand. Randomness is the middle of its range. */
export function manualEnvironment(): ManualEnvironment {
  const startAt = Date.UTC(2030, 0, 1);
  const timers = new Set<{ at: number; callback: () => void }>();
  let elapsed = 0;
  return {
    clock: { now: () => startAt + elapsed, monotonic: () => elapsed },
    timers: {
      set: (callback, delayMs) => {
        const timer = { at: elapsed + Math.max(0, delayMs), callback };
        timers.add(timer);
        return { cancel: () => void timers.delete(timer) };
      },
      soon: (callback) => void setImmediate(callback),
    },
    random: () => 0.5,
    id: () => systemEnvironment.id(),
    advance: async (ms) => {
      const end = elapsed + ms;
      await turns();
      for (;;) {
        const [next] = [...timers]
          .filter(({ at }) => at <= end)
          .toSorted((left, right) => left.at - right.at);
        if (next === undefined) break;
        timers.delete(next);
        elapsed = Math.max(elapsed, next.at);
        next.callback();
        await turns();
      }
      elapsed = end;
      await turns();
    },
    get timersSet(): number {
      return timers.size;
    },
  };
}

/** A transport that tells what it opened and what became of it. */
export interface WatchedTransport extends TransportFactory {
  readonly opened: readonly { readonly instance: string; readonly transport: Transport }[];
  readonly disposed: number;
}

export function watched(
  inner: TransportFactory,
  change: (transport: Transport) => Partial<Transport> = () => ({}),
): WatchedTransport {
  const opened: { instance: string; transport: Transport }[] = [];
  let disposed = 0;
  return {
    name: inner.name,
    opened,
    get disposed() {
      return disposed;
    },
    open: async (host) => {
      const transport = await inner.open(host);
      opened.push({ instance: host.instance, transport });
      const base: Transport = {
        name: transport.name,
        capabilities: transport.capabilities,
        inspection: transport.inspection,
        declare: (topology) => transport.declare(topology),
        send: (batch) => transport.send(batch),
        receive: (source, options, listener) => transport.receive(source, options, listener),
        [Symbol.asyncDispose]: async () => {
          disposed += 1;
          await transport[Symbol.asyncDispose]();
        },
      };
      return { ...base, ...change(transport) };
    },
  };
}

/** An inspection of which something is otherwise. */
export function inspecting(inner: Inspection, change: Partial<Inspection>): Inspection {
  return new Proxy(inner, {
    get: (target, key) => {
      const changed: unknown = Reflect.get(change, key);
      const own: unknown = Reflect.get(target, key, target);
      return changed ?? (typeof own === "function" ? own.bind(target) : own);
    },
  });
}

export interface TestedBus<Declared> extends AsyncDisposable {
  readonly bus: Bus<Declared>;
  readonly logger: RecordingLogger;
  counted(contract: string): Promise<Readonly<Record<string, number>>>;
}

/** A bus over memory() with a logger that can be read. */
export async function tested<const Services extends readonly Service[]>(
  services: Services,
  options: Partial<Omit<ConnectOptions<Services>, "services" | "logger">> = {},
): Promise<TestedBus<DeclaredBy<Services>>> {
  const logger = recordingLogger();
  const bus = await connect({ transport: memory(), ...options, services, logger });
  return {
    bus,
    logger,
    counted: async (contract) => ({ ...(await bus.health()).contracts[contract] }),
    [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose](),
  };
}

/** Waits for the first dead letter. */
export async function deadLetterOf(bus: {
  deadLetters: { list(): Promise<readonly StoredMessage[]> };
}): Promise<StoredMessage> {
  let found: StoredMessage | undefined;
  await until(
    "a dead letter",
    async () => (found = (await bus.deadLetters.list())[0]) !== undefined,
  );
  return found as StoredMessage;
}

/** A connection to the broker beside every bus: for envelopes that no bus would send. */
export async function foreigner(
  factory: TransportFactory,
  environment: Environment = systemEnvironment,
): Promise<Transport> {
  return factory.open({
    environment,
    logger: recordingLogger(),
    instance: environment.id(),
    unrouted: () => {},
  });
}

export function envelopeOf(
  type: string,
  body: Envelope["body"],
  header: Partial<Header> = {},
): Envelope {
  return {
    header: {
      specversion: "1.0",
      id: systemEnvironment.id(),
      source: "/foreign",
      type,
      time: new Date(0).toISOString(),
      datacontenttype: "application/json",
      conversationid: "conversation",
      ...header,
    },
    body,
  };
}

/** What comes to a reply queue of that name. */
export async function framesAt(wire: Transport, name: string): Promise<readonly Envelope[]> {
  const frames: Envelope[] = [];
  await wire.declare({
    queues: [{ name, temporary: true }],
    topics: [],
    subscriptions: [],
    streams: [],
  });
  wire.receive(
    { kind: "queue", name },
    { prefetch: 10, prefetchBytes: 1_000_000, lockMs: 30_000 },
    {
      fault: () => undefined,
      deliver: (batch) => {
        for (const delivery of batch) {
          frames.push(delivery.envelope);
          void delivery.settle({ kind: "complete" });
        }
      },
    },
  );
  return frames;
}
