import {
  type Command,
  type Event,
  type Feed,
  type Query,
  type Schema,
  type Stream,
  command,
  event,
  feed,
  query,
  stream,
} from "@waybill/contracts";
import { type Bus, type Logger, type Service, type TransportFactory, connect } from "@waybill/core";
import { Stage, type SuiteSubject } from "../suite/stage.ts";

/** The body that every message of these suites has. */
export interface Order {
  readonly id: string;
  readonly region: string;
  readonly total: number;
}

const Order: Schema<Order> = {
  "~standard": {
    version: 1,
    vendor: "bus-suite",
    validate: (value) =>
      typeof Object(value).id === "string"
        ? { value: value as Order }
        : { issues: [{ message: "must have an id", path: ["id"] }] },
  },
};

export const order = (id: string, total = 5): Order => ({ id, region: "EU", total });

/** One of each kind, with names that no other case has. */
export interface Contracts {
  readonly PlaceOrder: Command<string, Order>;
  readonly OrderPlaced: Event<string, Order, { region: string; total: number }>;
  readonly GetOrder: Query<string, Order, Order>;
  readonly Watch: Feed<string, Order, Order>;
  /** The key is the first letter of the id. */
  readonly Readings: Stream<string, Order>;
}

/** Applications as their users write them, each bus a process of its own as far as the broker can tell. */
export class BusStage {
  readonly stage: Stage;
  readonly contracts: Contracts;
  /** Warnings and errors of every bus here. */
  readonly log: string[] = [];
  readonly #subject: SuiteSubject;
  readonly #buses: Bus[] = [];

  constructor(subject: SuiteSubject) {
    this.#subject = subject;
    this.stage = new Stage(subject);
    const name = (word: string): string => this.stage.name(word);
    this.contracts = {
      PlaceOrder: command(name("place-order"), { input: Order }),
      OrderPlaced: event(name("order-placed"), {
        payload: Order,
        attributes: ({ region, total }) => ({ region, total }),
      }),
      GetOrder: query(name("get-order"), { input: Order, output: Order }),
      Watch: feed(name("watch"), { input: Order, item: Order }),
      Readings: stream(name("readings"), {
        item: Order,
        key: ({ id }) => id.slice(0, 1),
        partitions: 3,
      }),
    };
  }

  /** Connects services as one process, by the subject's way to the broker or by another one. */
  async connect(services: readonly Service[], transport?: TransportFactory): Promise<Bus> {
    const bus: Bus = await connect({
      transport: transport ?? this.#subject.factory,
      services,
      environment: this.stage.environment,
      logger: this.#logger,
      localCalls: false,
    });
    this.#buses.push(bus);
    return bus;
  }

  /** Waits until it holds, at most for so many milliseconds. */
  async until(
    what: string,
    holds: () => boolean | Promise<boolean>,
    patienceMs = 60_000,
  ): Promise<void> {
    const { clock } = this.stage.environment;
    const end = clock.monotonic() + patienceMs;
    while (!(await holds())) {
      if (clock.monotonic() >= end) throw new Error(`waited ${patienceMs} ms in vain for: ${what}`);
      await this.stage.pass(stepMs);
    }
  }

  async close(): Promise<void> {
    // How a bus closes is asserted by the case that it is about.
    for (const bus of this.#buses.splice(0)) await bus.close({ deadlineMs }).catch(() => undefined);
    await this.stage.close();
  }

  get #logger(): Logger {
    const take = (message: string): void => void this.log.push(message);
    return { debug: () => undefined, info: () => undefined, warn: take, error: take };
  }
}

const stepMs = 5;
const deadlineMs = 5_000;
