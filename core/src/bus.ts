import type { Feed, Query } from "@waybill/contracts";
import type { CallOptions, OpenOptions, Receipt, SendOptions, Verbs } from "./context.ts";
import { DeferredMessages, ScheduledMessages, StoredMessages } from "./letters/stored-messages.ts";
import { DeadLetters } from "./letters/dead-letters.ts";
import { closeRunning } from "./closing.ts";
import { WaybillError } from "./errors.ts";
import { explain } from "./explain/explain.ts";
import type { Explanation } from "./explain/explanation.ts";
import { busHealth } from "./operating/bus-health.ts";
import type { Health } from "./operating/health.ts";
import { type Ledger, readLedger } from "./operating/ledger.ts";
import { type PauseOptions, type PauseTarget, pause, resume } from "./operating/pausing.ts";
import type { Capabilities } from "./ports/transport.ts";
import { rewriting } from "./letters/rewriting.ts";
import type { Running } from "./running.ts";
import { runtimeOf } from "./runtime.ts";
import { BusSchedules } from "./schedules/bus-schedules.ts";
import type { Decider } from "./deciders/decider.ts";
import { type DeciderLookOf, lookInto } from "./deciders/looking.ts";
import { SagaLook } from "./sagas/look.ts";
import type { Saga, SagaPhaseOf, SagaStateOf } from "./sagas/saga.ts";
import type { Kind } from "./split/options.ts";
import { type BusTransaction, type Prepare, transactOutside } from "./stores/bus-transaction.ts";
import type { StoreFactory } from "./ports/store.ts";
import { OutboxMessages } from "./stores/outbox.ts";
import type { CallOrigin } from "./speaking/speech.ts";
import { Streams } from "./operating/streams.ts";
import { AllViews, ViewLook } from "./views/look.ts";
import type { View, ViewRowOf } from "./views/view.ts";
import type { AnyContract } from "./wiring/uses.ts";

export interface CloseOptions {
  /** How long running handlers may take to end, in milliseconds. Default 10,000. */
  readonly deadlineMs?: number;
}

/**
 * A connected system. One with handlers keeps the process alive until it is closed; one that only speaks does so
 * while a call waits.
 *
 * It has the five verbs for everything its services declare or bind, and a look inside. */
export interface Bus<Declared = any> extends Verbs<Declared>, AsyncDisposable {
  /** What the broker underneath can do; what all of them can, where there are several. */
  readonly capabilities: Capabilities;
  /** Each broker and the kinds that it carries. */
  readonly transports: readonly CarryingTransport[];
  readonly deadLetters: DeadLetters;
  readonly deferred: DeferredMessages;
  /** What was sent for later. */
  readonly scheduled: ScheduledMessages;
  /** What transactions have committed and the broker refuses. */
  readonly outbox: OutboxMessages;
  /** The sagas of a connected service: those that run, and those that have finished and are not forgotten yet. Error: NOT_FOUND. */
  sagas<S extends Saga>(saga: S): SagaLook<SagaStateOf<S>, SagaPhaseOf<S>>;
  /** The views that this process keeps: how far each has come, and waiting for one. */
  views(): AllViews;
  /** The rows of a view that a connected service is or reads. Error: NOT_FOUND. */
  views<V extends View>(view: V): ViewLook<ViewRowOf<V>>;
  /** What is sent by the clock, as the stores of the connected services keep it. */
  readonly schedules: BusSchedules;
  /** The streams of a connected decider: how a key stands, what has happened to it, deciding at once, replaying, forgetting. Error: NOT_FOUND. */
  deciders<D extends Decider>(decider: D): DeciderLookOf<D>;
  /** What can be delivered and is not in anybody's hands. */
  readonly waiting: StoredMessages;
  /** How far groups of streams have come, and putting them to another place. */
  readonly streams: Streams;
  /** Looks into every broker, and waits 5 seconds at most for each of its answers. */
  health(): Promise<Health>;
  /**
   * The books of the broker: for each address what was accepted, over all processes and restarts, and what became of it. Whatever is not
   * completed, waiting, set aside or named as gone shows as a difference. Error: NOT_SUPPORTED where `capabilities.conservation` is "none".
   */
  ledger(): Promise<Ledger>;
  /**
   * What happens to a message of this contract, as data and in words (`text`): where it goes, who gets it, in which order,
   * what is retried when, what becomes of it on each failure. Error: CONTRACT_NOT_DECLARED.
   */
  explain(contract: AnyContract): Promise<Explanation>;
  /**
   * Runs `work` in a transaction of a store that a connected service names, outside any handler: what it writes and what it sends with the
   * transaction's own verbs is committed together, or not at all. Resolves after COMMIT; then the messages leave. Errors: what `work` threw;
   * STORAGE_BUSY after 10 seconds of waiting for its turn, as inside a handler of the same SQLite store; COMMIT_UNKNOWN: it may be committed or not.
   */
  transaction<Client, Result>(
    store: StoreFactory<Client>,
    work: (transaction: BusTransaction<Client, Declared>) => Result | Promise<Result>,
  ): Promise<Result>;
  /**
   * Ends delivery for all processes, over restarts, until `resume`: messages are accepted and kept, what a process has fetched is still
   * handled. `health()` says since when and why, and so does the log of every service that connects to it. A query or feed that is answered
   * in the caller's own process does not pass the broker and goes on. Answers the addresses, paused one after another. Errors: NOT_FOUND,
   * OPTION_INVALID, NOT_SUPPORTED where `capabilities.pause` is false.
   */
  pause(target: PauseTarget, options: PauseOptions): Promise<readonly string[]>;
  /** Delivers again, at once and in all processes. Answers the addresses that were paused. Errors: NOT_FOUND, NOT_SUPPORTED. */
  resume(target: PauseTarget): Promise<readonly string[]>;
  /**
   * Ends and resumes intake of one address, as `addressOf` writes it, in this process alone. Messages wait. New calls of a query or a feed wait in
   * its queue, those of this process too: another process of the service answers them, or they end with their deadline. Open
   * feeds go on. Error: NOT_FOUND.
   */
  pauseHere(address: string): void;
  resumeHere(address: string): void;
  /**
   * In order: intake ends, what has not begun goes back, running handlers end, what they sent leaves, the transport
   * closes. Error: SHUTDOWN_INCOMPLETE when handlers ran past the deadline; their messages come again. Repeatable.
   */
  close(options?: CloseOptions): Promise<void>;
}

/** One broker of a bus. */
export interface CarryingTransport {
  readonly name: string;
  readonly kinds: readonly Kind[];
  readonly capabilities: Capabilities;
}

const deadlineMsDefault = 10_000;

export class ConnectedBus implements Bus {
  readonly capabilities: Capabilities;
  readonly transports: readonly CarryingTransport[];
  readonly deadLetters: DeadLetters;
  readonly deferred: DeferredMessages;
  readonly scheduled: ScheduledMessages;
  readonly outbox: OutboxMessages;
  readonly schedules: BusSchedules;
  readonly waiting: StoredMessages;
  readonly streams: Streams;
  readonly #running: Running;
  #closing: Promise<void> | undefined;

  readonly send: Verbs<any>["send"] = (command, input, options = {}) =>
    this.#say(command, input, options);

  readonly publish: Verbs<any>["publish"] = (event, payload, options = {}) =>
    this.#say(event, payload, options);

  readonly append: Verbs<any>["append"] = (stream, item, options = {}) =>
    this.#say(stream, item, options);

  readonly ask = async (query: Query, input: unknown, options: CallOptions = {}): Promise<any> =>
    this.#running.speech.ask(query, input, this.#calling(query, options));

  readonly open = (
    feed: Feed,
    input: unknown,
    options: OpenOptions<any, any> = {},
  ): AsyncIterable<any> => this.#open(feed, input, options);

  constructor(running: Running) {
    const { transport, codec, environment, wire } = running.runtime;
    this.#running = running;
    this.capabilities = transport.capabilities;
    const { inspection } = transport;
    const { follows } = transport.capabilities;
    const cancelKept = (ids: readonly string[]): Promise<number> => running.delays.cancel(ids);
    const parts = { inspection, codec, wire, follows, rewrite: rewriting(running), cancelKept };
    this.deadLetters = new DeadLetters(parts, environment);
    this.deferred = new DeferredMessages(parts);
    this.scheduled = new ScheduledMessages(parts);
    this.outbox = new OutboxMessages(running.stores);
    this.schedules = new BusSchedules(running.schedulers, environment);
    this.waiting = new StoredMessages(parts, "ready");
    this.streams = new Streams(runtimeOf(running.runtime, { kind: "stream" }).transport);
    this.transports = running.runtime.brokers.map(({ kinds, transport: each }) => ({
      name: each.name,
      kinds,
      capabilities: each.capabilities,
    }));
  }

  health(): Promise<Health> {
    return busHealth(this.#running);
  }

  async transaction<Result>(
    store: StoreFactory,
    work: (transaction: BusTransaction<any, any>) => Result | Promise<Result>,
  ): Promise<Result> {
    const { stores, speech, delays, runtime } = this.#running;
    const prepare: Prepare = (contract, value, options) =>
      speech.prepare(contract, value, {
        service: this.#speaker(contract),
        parent: undefined,
        options,
      });
    const now = (): number => runtime.environment.clock.now();
    const open = stores.opened(store);
    return transactOutside({ open, prepare, stores, delays, now }, work);
  }

  sagas<S extends Saga>({ name }: S): SagaLook<SagaStateOf<S>, SagaPhaseOf<S>> {
    const { stores, wiring } = this.#running;
    const definition = wiring.services.find((service) => service.name === name)?.saga;
    const store = stores.of(name);
    if (definition !== undefined && store !== undefined) return new SagaLook(definition, store);
    throw new WaybillError("NOT_FOUND", `No connected service is a saga of the name "${name}".`);
  }

  views(): AllViews;
  views<V extends View>(view: V): ViewLook<ViewRowOf<V>>;
  views(view?: View): AllViews | ViewLook<any> {
    const { views, runtime, speech } = this.#running;
    const parts = { bell: views.bell, runtime, speech };
    return view === undefined
      ? new AllViews(views, parts)
      : new ViewLook(views.find(view.name), parts);
  }

  deciders<D extends Decider>(decider: D): DeciderLookOf<D> {
    return lookInto(this.#running, decider) as DeciderLookOf<D>;
  }

  ledger(): Promise<Ledger> {
    return readLedger(this.#running.runtime);
  }

  explain(contract: AnyContract): Promise<Explanation> {
    return explain(this.#running, contract);
  }

  pause(target: PauseTarget, options: PauseOptions): Promise<readonly string[]> {
    return pause(this.#running, target, options);
  }

  resume(target: PauseTarget): Promise<readonly string[]> {
    return resume(this.#running, target);
  }

  pauseHere(address: string): void {
    this.#intake(address).pause();
  }

  resumeHere(address: string): void {
    this.#intake(address).resume();
  }

  close(options: CloseOptions = {}): Promise<void> {
    return (this.#closing ??= closeRunning(this.#running, options.deadlineMs ?? deadlineMsDefault));
  }

  /** Closes. Where `close()` was called before, its caller has the error and it is not thrown again. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#closing === undefined ? this.close() : this.#closing.catch(() => undefined);
  }

  async *#open(feed: Feed, input: unknown, options: OpenOptions<any, any>): AsyncIterable<any> {
    yield* this.#running.speech.open(feed, input, this.#calling(feed, options));
  }

  #calling<Options>(contract: AnyContract, options: Options): CallOrigin<Options> {
    return { service: this.#speaker(contract), parent: undefined, options, signal: undefined };
  }

  #say(contract: AnyContract, value: unknown, options: SendOptions): Promise<Receipt> {
    const { speech } = this.#running;
    try {
      const prepared = speech.prepare(contract, value, {
        service: this.#speaker(contract),
        parent: undefined,
        options,
      });
      return prepared instanceof Promise
        ? prepared.then((outgoing) => speech.deliverOne(outgoing))
        : speech.deliverOne(prepared);
    } catch (error) {
      // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- passed on as it came
      return Promise.reject(error);
    }
  }

  #speaker(contract: AnyContract): string {
    if (this.#closing !== undefined)
      throw new WaybillError("CLOSED", `"${contract.name}" was not sent: the bus is closed.`);
    const speaker = this.#running.wiring.speakers.get(contract.name);
    if (speaker !== undefined) return speaker;
    throw new WaybillError(
      "CONTRACT_NOT_DECLARED",
      `No connected service declares or handles the ${contract.kind} "${contract.name}". Add it to a service's uses; a script that only sends declares a service without handlers.`,
    );
  }

  #intake(address: string): Running["listeners"][number] | Running["servings"][number] {
    const intakes = [...this.#running.listeners, ...this.#running.servings];
    const intake = intakes.find((each) => each.address === address);
    if (intake !== undefined) return intake;
    const known = intakes.map((each) => each.address).join(", ");
    throw new WaybillError(
      "NOT_FOUND",
      `This process does not receive from "${address}"; it receives from: ${known || "nothing"}.`,
    );
  }
}
