import type { Attributes, Command, Event, Feed, Query, Stream } from "@waybill/contracts";
import type { Header } from "./envelope.ts";
import type { Logger } from "./ports/logger.ts";
import type { Position, Resumed } from "./ports/transport.ts";

/** What every verb that sends takes. */
export interface SendOptions {
  /** The message's id. Give one to make a repeated send recognisable. Default: a new random id. */
  readonly id?: string;
  /** What the broker recognises the message by where its contract has `dedupMs`, when that is not the id. At most 256 characters. */
  readonly dedupId?: string;
  /** Deliver no earlier than this many milliseconds from now. */
  readonly delayMs?: number;
  /** Deliver no earlier than this moment. */
  readonly at?: Date;
  /** After this many milliseconds the message is of no use; undelivered, it becomes a dead letter with reason EXPIRED. Replayed, or resumed after `defer()`, it is handled all the same. */
  readonly ttlMs?: number;
}

export type AppendOptions = Pick<SendOptions, "id">;

export interface CallOptions {
  /** How long the caller waits, in milliseconds. Inside a handler never longer than what is left of its own deadline. Default 10,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface OpenOptions<Upstream = never, Cursor = never> {
  readonly signal?: AbortSignal;
  /**
   * The feed ends with DEADLINE_EXCEEDED after so many milliseconds, all its resumes included; up to 604,800,000. Inside a handler never later than
   * its own caller's deadline. Default: no end.
   */
  readonly timeoutMs?: number;
  /** Items for the server while the feed runs. Ends with the feed. */
  readonly upstream?: AsyncIterable<Upstream>;
  /** Most items on their way or waiting to be read, 1 to 10,000. Default 64. */
  readonly bufferMax?: number;
  /** Begins after the item with this cursor, for feeds that declare `resume`. */
  readonly resumeFrom?: Cursor;
  /** How a lost feed is opened again, for feeds that declare `resume`; false: it ends. */
  readonly resume?: [Cursor] extends [never] ? never : ResumePolicy | false;
}

/** How a lost feed is opened again. An outage is over with the next item, or when a connection has stood for 15 seconds. */
export interface ResumePolicy {
  /** Most times that it is opened again in one outage, 1 to 1,000. Default 20. */
  readonly attempts?: number;
  /** After so many milliseconds of one outage it is not opened again. Default 60,000. */
  readonly withinMs?: number;
  /** Pause before the first time, in milliseconds, half of it drawn at random; each further pause is twice as long. Default 100. */
  readonly delayMs?: number;
  /** Longest pause, in milliseconds. Default 5,000. */
  readonly delayMsMax?: number;
}

export interface Receipt {
  readonly id: string;
}

/**
 * The five verbs, for the contracts in `Declared` only.
 *
 * Inside a handler `send`, `publish` and `append` are held and leave together when the handler succeeds;
 * outside they resolve when the message is stored as durably as the transport says. They can be taken out: `const { publish } = context`.
 */
export interface Verbs<Declared> {
  send<C extends Extract<Declared, Command>>(
    this: void,
    command: C,
    input: InputOf<C>,
    options?: SendOptions,
  ): Promise<Receipt>;
  publish<C extends Extract<Declared, Event>>(
    this: void,
    event: C,
    payload: PayloadOf<C>,
    options?: SendOptions,
  ): Promise<Receipt>;
  append<C extends Extract<Declared, Stream>>(
    this: void,
    stream: C,
    item: ItemOf<C>,
    options?: AppendOptions,
  ): Promise<Receipt>;
  /**
   * Errors: DEADLINE_EXCEEDED when no answer came in time, ANSWER_FAILED when the owner failed,
   * CALL_CANCELLED when the signal was aborted, CALL_DEPTH_EXCEEDED where the policy refuses long chains.
   */
  ask<C extends Extract<Declared, Query>>(
    this: void,
    query: C,
    input: InputOf<C>,
    options?: CallOptions,
  ): Promise<OutputOf<C>>;
  /** Ends when the server ends; leaving the loop cancels the feed. Errors: FEED_FAILED when the server failed or fell silent. */
  open<C extends Extract<Declared, Feed>>(
    this: void,
    feed: C,
    input: InputOf<C>,
    options?: OpenOptions<UpstreamOf<C>, CursorOf<C>>,
  ): AsyncIterable<ItemOf<C>>;
}

/** What the handler of a batch gets beside its messages: what does not belong to a single one. */
export interface BatchContext<Declared = never> extends Verbs<Declared> {
  /** The service this handler belongs to. */
  readonly service: string;
  /** Aborted when the result can no longer count: lock lost, deadline passed, call cancelled, shutdown out of time. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
  /** The moment by the bus's clock: use it instead of Date.now() and tests can move time. */
  now(this: void): Date;
  /** As `bus.deferred.resume`: at once, and not taken back when this handler fails. */
  resumeDeferred(this: void, handle: string): Promise<Resumed>;
  /** Waits by the bus's clock. Rejects when `signal` is aborted. */
  sleep(this: void, delayMs: number): Promise<void>;
}

/** What a handler gets beside its input. */
export interface Context<Declared = never> extends BatchContext<Declared> {
  /** The header of the message in hand. */
  readonly header: Header;
  /** What the publisher shows of an event, with what the subscription writes over it (`set`). Empty when there is nothing. */
  readonly attributes: Attributes;
  /** 1 for the first delivery. */
  readonly attempt: number;
  /**
   * The broker's name of the message in hand, to be kept by who returns `defer()`: `resumeDeferred` takes it. It stays the same, also when the message is retried,
   * dead or replayed. Undefined in `consume`, `answer` and `serve` handlers, which cannot defer.
   */
  readonly handle: string | undefined;
  /** Where the item stands, in a `consume` handler. */
  readonly position: Position | undefined;
}

/** A handler's context, as who runs the handler has it. */
export interface OpenContext extends Context<any> {
  /** Resolves when everything the handler sent without waiting has been checked and held; undefined when there is nothing to wait for. Rejects when one was refused and the handler did not look. */
  held(): Promise<void> | undefined;
  /** Its time is over: aborts the signal, also for who asks for it only now. */
  expire(reason: unknown): void;
  /** From here on a send would vanish, so it is refused. */
  close(): void;
}

/**
 * What a service keeps for one key of a command or an event, between its messages. Whoever handles the key has it alone, and it moves with the key to
 * another process.
 */
export interface HandlerSession<State> {
  /** The key of the message. */
  readonly key: string;
  /** What the last handler of this key that succeeded wrote, or this one; undefined for nothing. Errors: STATE_INVALID, LOCK_LOST. */
  read(this: void): Promise<State | undefined>;
  /** Kept in the transaction that completes the message, if this handler succeeds; undefined removes it. Errors: MESSAGE_INVALID, BODY_TOO_LARGE. */
  write(this: void, state: State | undefined): Promise<void>;
}

/** What a handler with `state` gets. */
export interface SessionContext<Declared, State> extends Context<Declared> {
  readonly session: HandlerSession<State>;
}

/** What a `consume` handler gets. */
export interface ConsumeContext<Declared = never> extends Context<Declared> {
  /** Where the item stands in its stream. */
  readonly position: Position;
}

/** What a `serve` handler gets. What it sends leaves at once: a feed is left far more often than it ends, so there is no success to wait for. */
export interface FeedContext<
  Declared = never,
  Upstream = never,
  Cursor = never,
> extends Context<Declared> {
  /** For feeds that declare `resume`: give the items after this one; undefined for a caller that begins. Checked by the contract's schema. */
  readonly resumeFrom: Cursor | undefined;
  /** Items from the caller, for feeds that declare `upstream`; ends when the caller ends it. */
  readonly upstream: AsyncIterable<Upstream>;
}

export type InputOf<C> =
  C extends Command<any, infer Input>
    ? Input
    : C extends Query<any, infer Input, any>
      ? Input
      : C extends Feed<any, infer Input, any, any, any>
        ? Input
        : never;
export type OutputOf<C> = C extends Query<any, any, infer Output> ? Output : never;
export type PayloadOf<C> = C extends Event<any, infer Payload, any> ? Payload : never;
/** What a message of a contract says. */
export type ValueOf<C> = C extends Event ? PayloadOf<C> : C extends Stream ? ItemOf<C> : InputOf<C>;
export type ItemOf<C> =
  C extends Stream<any, infer Item>
    ? Item
    : C extends Feed<any, any, infer Item, any, any>
      ? Item
      : never;
export type UpstreamOf<C> = C extends Feed<any, any, any, infer Upstream, any> ? Upstream : never;
export type CursorOf<C> = C extends Feed<any, any, any, any, infer Cursor> ? Cursor : never;
