import type { Command, Event, Query, Stream } from "@waybill/contracts";
import {
  type Bus,
  type ConnectOptions,
  type DeclaredBy,
  type InputOf,
  type ItemOf,
  type LogFields,
  type Logger,
  type PayloadOf,
  type Service,
  type SplitTransports,
  type StoredMessage,
  type TransportFactory,
  connect,
  memory,
} from "@waybill/core";
import { type FakeEnvironment, fakeEnvironment } from "./environment.ts";
import { type Run, watchHandlers } from "./handler-watch.ts";
import { recordSent } from "./sent-record.ts";

export interface TestBusOptions extends Pick<
  ConnectOptions<readonly Service[]>,
  "handlers" | "callDepth" | "codec" | "steps" | "wire"
> {
  /** Decides random numbers and ids. Default 1. */
  readonly seed?: number;
  /** What the clock shows at first, milliseconds since 1970. */
  readonly startAt?: number;
  /** Default: a memory broker of its own. Wrap it, for instance `withFaults(memory(), …)`, to inject faults. Or one for each kind, as in `connect`; their time moves as far as they heed the environment. */
  readonly transport?: TransportFactory | SplitTransports;
}

/** One line that Waybill would have logged. */
export interface LogLine {
  readonly level: keyof Logger;
  readonly message: string;
  readonly fields: LogFields;
}

/**
 * A bus whose time stands still until the test moves it, and which knows exactly when nothing more can happen:
 * no sleeping, no guessing by inactivity.
 */
export interface TestBus<Declared = any> extends Bus<Declared> {
  readonly environment: FakeEnvironment;
  /** What was logged. Nothing is printed. */
  readonly log: readonly LogLine[];
  /**
   * Resolves when only time or a new message could make anything happen: every message that can be handled now is
   * handled, and each handler that still runs waits in `context.sleep`, `context.ask` or `context.open`.
   */
  settled(): Promise<void>;
  /** Moves the clock on, timer by timer, and settles. */
  advance(ms: number): Promise<void>;
  /** Inputs of that command that left, in order: what a failed handler held is not among them. */
  sent<C extends Command>(command: C): readonly InputOf<C>[];
  published<C extends Event>(event: C): readonly PayloadOf<C>[];
  appended<C extends Stream>(stream: C): readonly ItemOf<C>[];
  /** Every run of a handler of that contract, each retry included, in order of their beginning. */
  handled(contract: Command | Event | Query | Stream): readonly Run[];
  /** Dead letters of that contract. */
  dead(contract: Command | Event | Stream): Promise<readonly StoredMessage[]>;
}

/**
 * Connects services for a test: in memory, on a fake clock.
 *
 * @example
 * await using bus = await testBus([ordering]);
 * await bus.send(PlaceOrder, order);
 * await bus.settled();
 * assert.deepEqual(bus.published(OrderPlaced), [order]);
 * await bus.advance(30 * 60_000); // the payment timeout
 */
export async function testBus<const Services extends readonly Service[]>(
  services: Services,
  options: TestBusOptions = {},
): Promise<TestBus<DeclaredBy<Services>>> {
  const { seed, startAt, transport = memory(), ...rest } = options;
  const environment = fakeEnvironment({
    ...(seed !== undefined && { seed }),
    ...(startAt !== undefined && { startAt }),
  });
  const log: LogLine[] = [];
  const watch = watchHandlers(services);
  const record = recordSent(transport);
  const bus = await connect({
    ...rest,
    services: watch.services,
    transport: record.transport,
    environment,
    logger: collecting(log),
    steps: [...(rest.steps ?? []), record.step],
  });
  const settled = async (): Promise<void> => {
    for (;;) {
      await environment.drain();
      if (watch.busy() === 0 && environment.pendingSoon === 0) return;
      if (watch.busy() > 0) await watch.changed();
    }
  };
  return Object.assign(bus, {
    environment,
    log,
    settled,
    advance: async (ms: number) => {
      await settled();
      await environment.advance(ms);
      await settled();
    },
    sent: (command: Command) => record.of(command.name),
    published: (event: Event) => record.of(event.name),
    appended: (stream: Stream) => record.of(stream.name),
    handled: ({ name }: Command | Event | Query | Stream) =>
      watch.runs.filter((run) => run.contract === name),
    dead: async ({ name }: Command | Event | Stream) =>
      (await bus.deadLetters.list({ limit: 1_000 })).filter(
        ({ envelope }) => envelope.header.type === name,
      ),
  });
}

function collecting(log: LogLine[]): Logger {
  const at =
    (level: keyof Logger) =>
    (message: string, fields: LogFields = {}): void =>
      void log.push({ level, message, fields });
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
