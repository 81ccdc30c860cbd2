import type {
  AttributeChanges,
  Command,
  Event,
  Feed,
  Query,
  Rule,
  Schema,
  Stream,
} from "@waybill/contracts";
import type { BatchBounds, BatchHandler } from "./batch/batch.ts";
import type { ConsumeContext, Context, FeedContext, SessionContext } from "./context.ts";
import type { CircuitBreakerOptions } from "./flow/circuit-options.ts";
import type { RateLimit } from "./flow/rate-limit.ts";
import type { Outcome } from "./handling/outcome.ts";
import type { RetryPolicy } from "./handling/retry.ts";
import type { CaptureFactory } from "./ports/capture.ts";
import type { DeciderBinding, DeciderDefinition } from "./deciders/definition.ts";
import type { SagaBinding, SagaDefinition } from "./sagas/definition.ts";
import type { ViewBinding, ViewDefinition } from "./views/definition.ts";
import {
  type GivenSchedule,
  type Schedulable,
  type ScheduleDefinition,
  type ScheduleOptions,
  scheduleDefinition,
} from "./schedules/definition.ts";
import { placeOutside } from "./wiring/place.ts";
import type { AnyContract, DeclaredIn, InStore, InViews, Uses } from "./wiring/uses.ts";

type Result<Value> = Value | Promise<Value>;

export type MessageHandler<Value, Declared, State = never, Beside = unknown> = (
  value: Value,
  context: ([State] extends [never] ? Context<Declared> : SessionContext<Declared, State>) & Beside,
) => Result<Outcome | void>;
export type ConsumeHandler<Item, Declared, Beside = unknown> = (
  item: Item,
  context: ConsumeContext<Declared> & Beside,
) => Result<Outcome | void>;
export type AnswerHandler<Input, Output, Declared, Beside = unknown> = (
  input: Input,
  context: Context<Declared> & Beside,
) => Result<Output>;
export type ServeHandler<Input, Item, Upstream, Declared, Cursor = never, Beside = unknown> = (
  input: Input,
  context: FeedContext<Declared, Upstream, Cursor> & Beside,
) => AsyncIterable<Item>;

export interface HandlerOptions<Value = any> {
  /** Messages, or queries from wherever they come, handled at the same time in this process, 1 to 1,000. Default 32. */
  readonly concurrency?: number;
  /**
   * Messages of one key run one after another in this process, in order; a failing one holds back its key while it is retried. For a contract
   * without a `key` of its own, which orders across processes and needs nothing here.
   */
  readonly orderedBy?: (value: Value) => string;
  /**
   * What becomes of a key whose message is a dead letter: "continue" (default), or "park": its later messages wait until the dead letter is
   * replayed or discarded. For contracts with a `key`, on transports with sessions.
   */
  readonly onDeadLetter?: "continue" | "park";
  readonly retry?: RetryPolicy;
  /** How long a message stays locked without renewal, 1,000 to 300,000 ms. Default 30,000, of a call 5,000. The lock is renewed while the process lives. */
  readonly lockMs?: number;
  /**
   * How long one run may take, 1 to 86,400,000 ms. Then `context.signal` is aborted, and one second later the run is given up: it has failed and is
   * retried, though it may still be at work; what it sends by then is refused. Default: no limit, because a message stays locked while its process
   * lives, and only the handler's author knows how long is too long. A query is bounded by its caller's deadline in any case.
   */
  readonly timeoutMs?: number;
  /** Messages fetched ahead, 1 to 10,000. Default four times the concurrency. */
  readonly prefetch?: number;
  /**
   * How many messages begin per time in each process; the others wait, uncounted, in order, and those of other keys pass them. Runs at once
   * (`retry.immediate`) are not counted apart. For single messages, not for calls and batches.
   */
  readonly rateLimit?: RateLimit<Value>;
  /**
   * Stops taking messages in this process while what the handler needs is down, and tries one message at a time until it is back: see
   * `CircuitBreakerOptions`. `{}` for the defaults. Handlers of one address stop together. For single messages, not for calls and batches.
   */
  readonly circuitBreaker?: CircuitBreakerOptions;
}

/** What `connect({ handlers })` sets for every handler that does not say otherwise. */
export type HandlerDefaults = Pick<
  HandlerOptions,
  "concurrency" | "lockMs" | "prefetch" | "retry" | "timeoutMs" | "circuitBreaker"
>;

/** What the handler of a query or a feed takes. */
export type AnswerOptions<Input = any> = Omit<HandlerOptions<Input>, Flow>;

/** What holds back single messages only. */
type Flow = "rateLimit" | "circuitBreaker";

export interface SubscriptionOptions<
  Value,
  Shown extends Record<string, any>,
> extends HandlerOptions<Value> {
  /** Which events to take; all when absent. */
  readonly where?: Rule<Shown>;
  /**
   * Written into the attributes of this subscription's own copies (`context.attributes`), also in their dead letters where
   * `capabilities.ruleActions`; null removes one. A copy that is edited has the attributes of its new value.
   */
  readonly set?: AttributeChanges<Shown>;
  /** Names one of several subscriptions of this service to the same event. */
  readonly name?: string;
  /**
   * Each process that runs this service gets every event, from when it has connected until it ends: for what a process keeps in memory, such as
   * feeds to wake. What happens while it is away it never gets, and its dead letters go with it. Default false: the processes share one durable subscription.
   */
  readonly everyInstance?: boolean;
}

export interface ConsumeOptions<Item = any> extends Omit<
  HandlerOptions<Item>,
  "orderedBy" | "onDeadLetter" | "concurrency"
> {
  /** Readers that share the partitions and their offsets. Default: the service's name. */
  readonly group?: string;
  /** Where a group that has never read begins. Default "earliest". */
  readonly start?: "earliest" | "latest";
}

/** What a handler of batches says beside its own options. There `concurrency` counts batches, default 1, and `prefetch` is what they need. */
export interface Batched {
  readonly batch: BatchBounds;
}

/** What a handler that keeps something for each key of its contract says beside its own options. */
export interface Stateful<State> {
  /** The schema of `context.session`, whose state is validated when it is read and written. For contracts with a `key`. */
  readonly state?: Schema<State>;
}

/** One handler bound to one contract. */
export interface Binding {
  readonly verb: "handle" | "on" | "answer" | "serve" | "consume";
  readonly contract: AnyContract;
  readonly handler: (value: any, context: any) => unknown;
  readonly options: HandlerOptions & SubscriptionOptions<any, any> & ConsumeOptions & Stateful<any>;
  /** Undefined for a handler that takes one message. */
  readonly batch: BatchBounds | undefined;
  /** File and line of the binding, for errors that name two places. */
  readonly place: string;
  /** For the handler of a saga or a decider, or a source of a view. */
  readonly saga?: SagaBinding;
  readonly view?: ViewBinding;
  readonly decider?: DeciderBinding;
}

/**
 * A service is a value: a name, what it uses, and its handlers.
 * `Bound` is the union of the contracts that have a handler here.
 */
export interface Service<U extends Uses = any, Bound = any> {
  readonly name: string;
  readonly uses: U;
  readonly bindings: readonly Binding[];
  readonly place: string;
  /** For a service that is one of these. */
  readonly saga?: SagaDefinition;
  readonly view?: ViewDefinition;
  readonly decider?: DeciderDefinition;
  /** What it sends by the clock. */
  readonly schedules?: readonly ScheduleDefinition[];
  /** For a service that publishes what another program writes to its database. */
  readonly capture?: CaptureFactory;
  /** For the compiler alone; no service has it. */
  readonly bound?: Bound;
}

/** A service to which handlers can be bound. Each binder returns a new one. */
export interface ServiceBuilder<U extends Uses = any, Bound = any> extends Service<U, Bound> {
  /** Binds the one owner of a command. The message is complete when the handler returns and retried when it throws. */
  handle<Name extends string, Input, State = never>(
    command: Command<Name, Input>,
    handler: NoInfer<MessageHandler<Input, DeclaredIn<U>, State, InStore<U> & InViews<U>>>,
    options?: NoInfer<HandlerOptions<Input>> & Stateful<State>,
  ): ServiceBuilder<U, Bound | Command<Name, Input>>;

  /** Binds a durable subscription: this service gets its own copy of every event that fits `where`. */
  on<Name extends string, Payload, Shown extends Record<string, any>, State = never>(
    event: Event<Name, Payload, Shown>,
    handler: NoInfer<MessageHandler<Payload, DeclaredIn<U>, State, InStore<U> & InViews<U>>>,
    options?: NoInfer<SubscriptionOptions<Payload, Shown>> & Stateful<State>,
  ): ServiceBuilder<U, Bound | Event<Name, Payload, Shown>>;

  /** Binds the one owner of a query. A handler that throws answers with an error; nothing is retried behind the caller's back. */
  answer<Name extends string, Input, Output>(
    query: Query<Name, Input, Output>,
    handler: NoInfer<AnswerHandler<Input, Output, DeclaredIn<U>, InViews<U>>>,
    options?: NoInfer<AnswerOptions<Input>>,
  ): ServiceBuilder<U, Bound | Query<Name, Input, Output>>;

  /** Binds the one owner of a feed: an async generator whose items reach the caller, at the caller's pace. */
  serve<Name extends string, Input, Item, Upstream, Cursor>(
    feed: Feed<Name, Input, Item, Upstream, Cursor>,
    handler: NoInfer<ServeHandler<Input, Item, Upstream, DeclaredIn<U>, Cursor, InViews<U>>>,
    options?: NoInfer<Omit<AnswerOptions<Input>, "timeoutMs">>,
  ): ServiceBuilder<U, Bound | Feed<Name, Input, Item, Upstream, Cursor>>;

  /** Binds a reader of a stream. Items of one partition come one after another; a failing one is retried in place, then set aside. */
  consume<Name extends string, Item>(
    stream: Stream<Name, Item>,
    handler: NoInfer<ConsumeHandler<Item, DeclaredIn<U>, InStore<U> & InViews<U>>>,
    options?: NoInfer<ConsumeOptions<Item>>,
  ): ServiceBuilder<U, Bound | Stream<Name, Item>>;

  /** As `handle`, with many messages at once. Messages that cannot be read or came too late are set aside before and never fail their neighbours. */
  handleBatch<Name extends string, Input>(
    command: Command<Name, Input>,
    handler: NoInfer<BatchHandler<Input, DeclaredIn<U>>>,
    options: NoInfer<Omit<HandlerOptions<Input>, Flow> & Batched>,
  ): ServiceBuilder<U, Bound | Command<Name, Input>>;

  /** As `on`, with many events at once. */
  onBatch<Name extends string, Payload, Shown extends Record<string, any>>(
    event: Event<Name, Payload, Shown>,
    handler: NoInfer<BatchHandler<Payload, DeclaredIn<U>>>,
    options: NoInfer<Omit<SubscriptionOptions<Payload, Shown>, Flow> & Batched>,
  ): ServiceBuilder<U, Bound | Event<Name, Payload, Shown>>;

  /** As `consume`, with many items at once, those of one partition in order. */
  consumeBatch<Name extends string, Item>(
    stream: Stream<Name, Item>,
    handler: NoInfer<BatchHandler<Item, DeclaredIn<U>, ConsumeContext<DeclaredIn<U>>>>,
    options: Omit<ConsumeOptions, Flow> & Pick<HandlerOptions, "concurrency"> & Batched,
  ): ServiceBuilder<U, Bound | Stream<Name, Item>>;

  /** Sends a message at each moment of a timing, once over all processes, kept in the store; at least once, with one id. */
  schedule<Contract extends Extract<DeclaredIn<U>, Schedulable>>(
    name: string,
    options: ScheduleOptions<Contract>,
  ): ServiceBuilder<U, Bound>;
}

/** The type of the context that a service's handlers get: what a function that handlers share names. */
export type ContextOf<S extends Service> = Context<DeclaredIn<S["uses"]>> &
  InStore<S["uses"]> &
  InViews<S["uses"]>;

/**
 * Declares a service.
 *
 * @example
 * export const ordering = service("ordering", { asks: [GetPrice], publishes: [OrderPlaced] })
 *   .handle(PlaceOrder, async (order, context) => { … });
 */
export function service(name: string): ServiceBuilder<Record<never, never>, never>;
export function service<const U extends Uses>(name: string, uses: U): ServiceBuilder<U, never>;
export function service(name: string, uses: Uses = {}): ServiceBuilder {
  return build({ name, uses, bindings: [], schedules: [], place: placeOutside(2) });
}

interface Parts<U> {
  readonly name: string;
  readonly uses: U;
  readonly bindings: readonly Binding[];
  readonly schedules: readonly ScheduleDefinition[];
  readonly place: string;
}

function build<U extends Uses>(parts: Parts<U>): ServiceBuilder<U, any> {
  const bind =
    (verb: Binding["verb"], isBatch = false) =>
    (
      contract: AnyContract,
      handler: Binding["handler"],
      given: Binding["options"] & Partial<Batched> = {},
    ): ServiceBuilder<U, any> => {
      const { batch, ...rest } = given;
      // Without bounds it stays a batch, for the check at start to say so.
      const bounds = batch ?? ({} as BatchBounds);
      const taken = isBatch
        ? { batch: bounds, options: rest }
        : { batch: undefined, options: given };
      const binding: Binding = { verb, contract, handler, ...taken, place: placeOutside(2) };
      return build({ ...parts, bindings: [...parts.bindings, binding] });
    };
  return Object.freeze({
    ...parts,
    handle: bind("handle"),
    on: bind("on"),
    answer: bind("answer"),
    serve: bind("serve"),
    consume: bind("consume"),
    handleBatch: bind("handle", true),
    onBatch: bind("on", true),
    consumeBatch: bind("consume", true),
    schedule: (name: string, options: GivenSchedule) => {
      const definition = scheduleDefinition(name, options, placeOutside(2));
      return build({ ...parts, schedules: [...parts.schedules, definition] });
    },
  }) as ServiceBuilder<U, any>;
}
