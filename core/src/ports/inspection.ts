import type { Envelope } from "../envelope.ts";
import type { LedgerEntry } from "./ledger.ts";
import type { Failure, ForwardTarget, Position, Source } from "./transport.ts";

/** Looking into the broker, moving what was set aside, and stopping what is delivered. */
export interface Inspection {
  addresses(): Promise<readonly AddressState[]>;
  /** What is set of every address, without counting what stands there. */
  settings(): Promise<readonly AddressSettings[]>;
  /**
   * Ends delivery from a queue, a subscription or a group of a stream to all processes, over restarts, until `resume`. From the moment this
   * resolves nobody is handed anything more; messages are accepted and kept, due and expired as before, and what is in flight settles. Again: the
   * reason is replaced, `since` stays. Rejects with NOT_FOUND, with OPTION_INVALID for a reason that is no text of 1 to 500 characters, with
   * NOT_SUPPORTED where `capabilities.pause` is false and for a topic, which delivers nothing.
   */
  pause(address: string, reason: string): Promise<void>;
  /** Delivers again, at once and in all processes. False when it was not paused. Rejects with NOT_FOUND, or NOT_SUPPORTED as `pause`. */
  resume(address: string): Promise<boolean>;
  /** Oldest first. */
  list(query: ListQuery): Promise<readonly StoredMessage[]>;
  /** Puts dead or deferred messages back where they came from, attempts at zero, and to expire no more (`Delivery.expiryLifted`). A dead letter of a topic is published again; one of a stream goes to its group only; one of a session takes its old place there, in front of what was sent after it. Answers how many. */
  replay(handles: readonly string[]): Promise<number>;
  /**
   * Gives one deferred message back to who handles it, as the attempt that deferred it, and to expire no more. It stands in front of what was sent
   * after it, in its session too. Answers `resumed`; or where it is instead, and then nothing changed. `waiting` may mean that it is in the
   * hands of who is about to defer it. What is deferred is found in an index.
   */
  resumeDeferred(handle: string): Promise<Resumed>;
  /** The dead or deferred message of this handle, found in an index; undefined when it is neither. */
  get(handle: string): Promise<StoredMessage | undefined>;
  /**
   * Where the messages of these handles are now, in the order of the handles. A message keeps its handle when it is replayed and may fail
   * again; a topic's dead letter does not, which is gone when it is published again, nor what is forwarded. Costs a look per handle or one over the address, as the broker can.
   */
  follow(handles: readonly string[]): Promise<readonly Whereabouts[]>;
  /** Deletes ready, scheduled, deferred or dead messages for good; not what is in flight, nor the items of a stream. Answers how many. */
  discard(handles: readonly string[]): Promise<number>;
  /**
   * Takes back what was sent with `notBefore` and has not fallen due, by the ids in the headers; at one address, or everywhere. Of an event
   * that is every subscription's copy. What waits for its retry is not among it. A look into an index per id. Answers how many messages.
   */
  cancel(ids: readonly string[], address?: string): Promise<number>;
  /** Deletes everything of one state that stood at an address when it began, in short steps. Answers how many. Rejects with NOT_FOUND, or NOT_SUPPORTED for the items of a stream, which leave by retention. */
  purge(address: string, state: PurgeState): Promise<number>;
  /**
   * Puts this envelope, as a new message with attempts at zero, where a dead or deferred one came from, and deletes that one: both or
   * neither. False, and nothing changed, when it is not there any more, or is of a topic and still nobody subscribes. Rejects with BODY_TOO_LARGE, MESSAGE_INVALID or STORAGE_FULL.
   */
  replace(handle: string, envelope: Envelope): Promise<boolean>;
  /**
   * The books of every address: what came and what became of it, counted in the same step as the change, against what stands there now. Where more
   * than 10,000 messages stand an entry may be some seconds old, ten at most. Rejects with NOT_SUPPORTED where `conservation` is "none".
   */
  ledger(): Promise<readonly LedgerEntry[]>;
  /** The groups of a stream and how far each has come. Rejects with NOT_FOUND, or NOT_SUPPORTED where `capabilities.streams` is false. */
  groups(stream: string): Promise<readonly GroupState[]>;
  /**
   * Puts a group of a stream to another place, whether somebody reads or not: what is retained from there on is delivered again, attempts at
   * one. What its readers hold of the partitions that are named is fenced: they are told that the lock is lost, and settle in vain. Dead letters of the group stay as they
   * are. Answers where it stands. Rejects with NOT_FOUND, OPTION_INVALID, or NOT_SUPPORTED where `capabilities.seek` is false.
   */
  seek(stream: string, group: string, to: SeekTarget): Promise<GroupState>;
}

/**
 * start: the oldest item that is retained. end: only what is appended from now on. at: the first item that the broker took at that moment or later,
 * milliseconds since 1970; where the clock was set back, one of the places at which it passes that moment. offsets: partition by partition,
 * the others stay. Before the oldest item means the oldest, beyond the end the end.
 */
export type SeekTarget =
  | "start"
  | "end"
  | { readonly at: number }
  | { readonly offsets: readonly Position[] };

export interface GroupState {
  readonly group: string;
  /** In their order. */
  readonly partitions: readonly GroupProgress[];
}

/** How far a group has come in one partition. */
export interface GroupProgress {
  readonly partition: number;
  /** Everything below is done, or was removed by retention: the next offset of a reader that begins now. */
  readonly committed: number;
  /** The offset that the next item gets. */
  readonly end: number;
  /** Items from `committed` to `end`. */
  readonly lag: number;
  /** Offset of the oldest item that is retained; `end` when there is none. */
  readonly oldest: number;
}

export type PurgeState = Exclude<MessageState, "inFlight">;

/**
 * waiting: ready, in flight or scheduled. discarded: deleted by `discard` or `purge` after it had failed, as long as the broker remembers it: the
 * newest 10,000 or more. gone: handled, or forgotten; also a handle that never was.
 */
export type Whereabouts = "waiting" | "deferred" | "dead" | "discarded" | "gone";

export type Resumed = "resumed" | Exclude<Whereabouts, "deferred">;

export interface ListQuery {
  readonly state: MessageState;
  /** As `addressOf` writes it; all addresses when absent. */
  readonly address?: string;
  /** Handle of the last message of the page before. */
  readonly after?: string;
  /** 1 to 1,000. */
  readonly limit: number;
}

export type MessageState = "ready" | "inFlight" | "scheduled" | "deferred" | "dead";

export interface StoredMessage {
  /** The broker's own name of it; good for `replay`, `discard` and `after`. What is scheduled and was never delivered may get another when it falls due. */
  readonly handle: string;
  readonly address: string;
  /** Of a dead letter that stands elsewhere (`forwardDeadLettersTo`): the address at which it died, to which a replay returns it. */
  readonly origin: string | undefined;
  readonly state: MessageState;
  readonly envelope: Envelope;
  readonly attempt: number;
  readonly enqueuedAt: number;
  readonly failure: Failure | undefined;
}

/** What a broker may not know of an address. */
export type Count = "inFlight" | "scheduled" | "deferred" | "oldestReadyMs" | "receivers";

/** Why nothing is delivered from an address. */
export interface Pause {
  /** Milliseconds since 1970. */
  readonly since: number;
  readonly reason: string;
}

export interface AddressSettings {
  readonly address: string;
  readonly kind: Source["kind"] | "topic";
  /** Undefined while it delivers. */
  readonly paused: Pause | undefined;
  /** Where what arrives goes on to; undefined where it stays. */
  readonly forwardsTo: ForwardTarget | undefined;
  /** The queue among whose dead letters its own stand; undefined where they stay. */
  readonly deadLettersTo: string | undefined;
  /** It ends with the process that declared it. */
  readonly temporary: boolean;
}

/** A figure is undefined where `capabilities.counts` does not name it. */
export interface AddressState extends AddressSettings {
  /** For a stream: items the group has not completed. */
  readonly ready: number;
  readonly inFlight: number | undefined;
  readonly scheduled: number | undefined;
  readonly deferred: number | undefined;
  readonly dead: number;
  /** Age in milliseconds of the oldest ready message; 0 when none waits. */
  readonly oldestReadyMs: number | undefined;
  /** Receivers on it now, over all processes where the broker knows them. */
  readonly receivers: number | undefined;
}
