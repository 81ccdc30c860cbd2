import type { AttributeChanges, Rule } from "@waybill/contracts";
import type { Envelope } from "../envelope.ts";
import type { WaybillError } from "../errors.ts";
import type { Environment } from "./environment.ts";
import type { Capabilities } from "./capabilities.ts";
import type { Definitions } from "./definitions.ts";
import type { Inspection } from "./inspection.ts";
import type { Logger } from "./logger.ts";
import type { Session, StateChange } from "./session.ts";

export type * from "./capabilities.ts";
export * from "./definitions.ts";
export * from "./inspection.ts";
export type * from "./session.ts";
export * from "./ledger.ts";

/** What `connect({ transport })` takes: settings that can be opened, once per bus. */
export interface TransportFactory {
  readonly name: string;
  open(host: TransportHost): Promise<Transport>;
  /** What an operator creates so that this topology stands, without connecting. It has nothing temporary. Absent where the broker has no such thing. */
  definitions?(topology: Topology): Promise<Definitions>;
}

/** What a transport gets from the bus that opens it. */
export interface TransportHost {
  readonly environment: Environment;
  readonly logger: Logger;
  /** Names this process among all that share the broker. */
  readonly instance: string;
  /**
   * An event was stored that no subscription of its topic names by type; it is kept among the dead letters of the topic, reason
   * SUBSCRIBER_MISSING. Called once for each, before the `send` or `settle` that it left with resolves.
   */
  unrouted(envelope: Envelope, topic: string): void;
  /** A message was accepted and not stored, because its destination remembers it. Called once for each, before the `send` or `settle` that it left with resolves. */
  duplicate?(envelope: Envelope, to: Destination): void;
  /**
   * False: nothing is created but what is temporary, at any time, and `declare` throws WIRING_INVALID (see `refuseDiscrepancies`) with everything that
   * is missing or otherwise. Only where `capabilities.verifies`. Default true.
   */
  readonly mayCreate?: boolean;
}

/** Stores and forwards. One connection of one bus to one broker. What is unsettled when it is disposed comes again, its attempt counted: its handler may have run. */
export interface Transport extends AsyncDisposable {
  readonly name: string;
  readonly capabilities: Capabilities;
  /** Creates what is missing (see `TransportHost.mayCreate`), keeps what is there; throws WaybillError OWNED_TWICE or WIRING_INVALID on a conflict. Repeatable. */
  declare(topology: Topology): Promise<void>;
  /** Resolves when every message is stored as durably as `capabilities.durability` says. All of the batch or none, where `atomicBatch`. */
  send(batch: readonly Outgoing[]): Promise<void>;
  /** Starts to deliver, at once and until `stop()`. Reconnects by itself and reports faults on the way. */
  receive(source: Source, options: ReceiveOptions, listener: Listener): Receiver;
  readonly inspection: Inspection;
}

/** What must exist on the broker before messages flow. */
export interface Topology {
  readonly queues: readonly QueueSpec[];
  readonly topics: readonly TopicSpec[];
  readonly subscriptions: readonly SubscriptionSpec[];
  readonly streams: readonly StreamSpec[];
}

export interface QueueSpec extends Dedup, Forwarding {
  readonly name: string;
  /** The service that handles what arrives; absent where this process only sends. While it lives, another service is OWNED_TWICE. */
  readonly owner?: Owner;
  /** Dies with the instance that declared it, with everything in it: for replies. */
  readonly temporary?: boolean;
  /**
   * Messages of one `partitionkey` are one session: one receiver at a time has all of it, and they come in the order of sending. Messages
   * without a key stand beside, as if there were no sessions. What was declared once stays; who leaves it out asks for nothing.
   */
  readonly sessions?: boolean;
}

/**
 * Where what arrives goes on to. The id, the time, the whole header and the expiry stay; attempts begin at zero, and so does the handle.
 * In the transaction that stores it a message goes on to the end of its way; what waits there already, falls due or comes back goes on in
 * short steps, in its order, and before what comes later. Receivers get nothing from an address that forwards; while it is paused it keeps
 * what arrives. Each target's window of duplicate detection, sessions and rules hold as if it had been sent there.
 */
export interface Forwarding {
  /**
   * An existing queue or topic; false: from now on it keeps its messages. Absent: as it was declared before. A message that was forwarded
   * `capabilities.forwardHopsMax` times and would be again becomes a dead letter where it stands, reason UNROUTABLE. WIRING_INVALID for a circle.
   */
  readonly forwardTo?: ForwardTarget | false;
  /**
   * An existing queue among whose dead letters those of this address stand from now on, `StoredMessage.origin` says whose they are; replay,
   * edit and the wait of a parked session are as ever. false and absent as in `forwardTo`.
   */
  readonly forwardDeadLettersTo?: string | false;
}

export interface ForwardTarget {
  readonly kind: "queue" | "topic";
  readonly name: string;
}

/** Duplicates at one destination. A message is remembered by its type and its `dedupid`, else its `id`. */
export interface Dedup {
  /** Within this many milliseconds of the first, a message with the same type and id is accepted and not stored. 0: none from now on. Absent: as it was declared before. */
  readonly dedupWindowMs?: number;
}

export interface Owner {
  readonly service: string;
  /** File and line of the handler, for the error that names both owners. */
  readonly place: string;
}

export interface TopicSpec extends Dedup {
  readonly name: string;
}

export interface SubscriptionSpec extends Forwarding {
  readonly topic: string;
  readonly name: string;
  /** A message is taken when one entry names its type and that entry's rule holds. Redeclaring replaces the list. */
  readonly accepts: readonly Acceptance[];
  readonly temporary?: boolean;
  /** As `QueueSpec.sessions`, for this subscription alone. */
  readonly sessions?: boolean;
}

export interface Acceptance {
  readonly type: string;
  readonly where?: Rule;
  /** Changes the attributes of the copy that this subscription gets, and of no other. Of several entries that hold, the first one's. */
  readonly set?: AttributeChanges;
}

export interface StreamSpec {
  readonly name: string;
  readonly partitions: number;
  readonly retention: { readonly ageMs?: number; readonly bytes?: number };
  /** Who reads it, as far as these services know; what a broker keeps of a group beside the stream must be there for it. Groups of others may read too. */
  readonly groups?: readonly string[];
}

export interface Destination {
  readonly kind: "queue" | "topic" | "stream";
  readonly name: string;
}

/** One message on its way out. */
export interface Outgoing {
  readonly to: Destination;
  readonly envelope: Envelope;
  /** Not to be delivered before this moment (clock of the environment, milliseconds since 1970). An event is routed when it is sent. Not for streams. */
  readonly notBefore?: number;
  /** Not to be delivered after this moment; it then becomes a dead letter with the reason EXPIRED. Not for streams. */
  readonly notAfter?: number;
  /** Who sent it knows by other means that it expired (a call with a deadline): then it is deleted instead of set aside. */
  readonly discardExpired?: boolean;
}

export type Source =
  | { readonly kind: "queue"; readonly name: string }
  | { readonly kind: "subscription"; readonly topic: string; readonly name: string }
  | { readonly kind: "stream"; readonly name: string; readonly group: string };

export interface ReceiveOptions {
  /** Most messages delivered and not yet settled. */
  readonly prefetch: number;
  /** Most bytes of body delivered and not yet settled; one message is always let through. */
  readonly prefetchBytes: number;
  /** How long a message stays locked without renewal. The transport renews at a third of it while the process is alive. */
  readonly lockMs: number;
  /** Most sessions held at the same time, where the source has sessions; the next available one is taken first. Default: `prefetch`. */
  readonly sessions?: number;
  /** Where a stream group that has no offset yet begins. Default "earliest". */
  readonly start?: "earliest" | "latest";
}

export interface Listener {
  /** Must return at once and not throw. Messages of one partition of a stream come in order. */
  deliver(batch: readonly Delivery[]): void;
  /** Something went wrong that the transport itself keeps trying to mend. */
  fault(error: WaybillError): void;
}

export interface Receiver {
  /** Ends intake. After it resolves nothing is delivered any more; what was delivered can still be settled and stays renewed. */
  stop(): Promise<void>;
  pause(): void;
  resume(): void;
}

/** An envelope received, with its attempt and its lock. */
export interface Delivery {
  readonly envelope: Envelope;
  /** 1 for the first. Counts deliveries whose handler may have run, stored before this delivery, and what `countRun` adds. */
  readonly attempt: number;
  /** When the broker took the message, milliseconds since 1970. */
  readonly enqueuedAt: number;
  /** What the last failed attempt left. */
  readonly failure: Failure | undefined;
  /** As `StoredMessage.handle`: what `inspection.resumeDeferred` takes once it is deferred. Undefined for an item of a stream, which cannot be. */
  readonly handle: string | undefined;
  /** Where it stands in a stream; a replayed item where it stood. */
  readonly position: Position | undefined;
  /** True when it was replayed or resumed: whoever did that wants it handled now, and the `expirytime` of its header does not count any more. */
  readonly expiryLifted?: boolean;
  /** The session it belongs to, which this receiver holds as a whole until it has settled what it was given of it. */
  readonly session: Session | undefined;
  /** Called once when the lock is lost before settling: somebody else may run this message now. */
  onLockLost: (() => void) | undefined;
  /**
   * Ends this delivery. A second call answers `lockLost`. Rejects only when `send` or `state` was refused (UNROUTABLE,
   * BODY_TOO_LARGE, STORAGE_FULL) or the message cannot be settled that way (NOT_SUPPORTED): then nothing was changed,
   * and the delivery is still held and can be settled otherwise.
   */
  settle(settlement: Settlement): Promise<Settled>;
  /**
   * It failed, and its handler is about to run again without giving it back: raises `attempt` by one and stores that, with the failure, before it
   * resolves. A `release` takes the last one back. Of items of a stream only the first that is not settled is counted durably, and its failure is
   * not kept. `lockLost`: nothing was changed. Where `attemptsInPlace`.
   */
  countRun?(failure: Failure): Promise<Settled>;
}

export interface Position {
  readonly partition: number;
  readonly offset: number;
}

/**
 * In a session nothing overtakes: with retry, release and a parking dead letter also goes back, uncounted, what the receiver holds behind it.
 *
 * - complete: done; `send` leaves with it, and `state` becomes that of its session, in the same transaction where `atomicSettle`.
 * - retry: failed; comes back after `delayMs`, and its session not before. Not for streams, whose reader waits in place.
 * - release: untouched; comes back at once, or after `delayMs` (within `delayMsMax`) as with retry, and the attempt is not counted. No delay for streams.
 * - deadLetter: set aside with its failure until somebody replays or discards it; with `park` its session waits for that. In a stream a copy is set aside and the group moves on.
 * - defer: set aside on purpose until somebody resumes it, by its `handle`. It does not expire meanwhile, and its session goes on without it. Not for streams.
 */
export type Settlement =
  | {
      readonly kind: "complete";
      readonly send?: readonly Outgoing[];
      readonly state?: StateChange;
    }
  | { readonly kind: "retry"; readonly delayMs: number; readonly failure: Failure }
  | { readonly kind: "release"; readonly delayMs?: number }
  | { readonly kind: "deadLetter"; readonly failure: Failure; readonly park?: boolean }
  | { readonly kind: "defer" };

/** `lockLost`: the fencing token no longer fits, nothing was changed, sent included. `unknown`: the broker did not say. */
export type Settled = "settled" | "lockLost" | "unknown";

/** Why a message failed. Everything a person needs to decide what to do with it. */
export interface Failure {
  /** An ErrorCode. */
  readonly reason: string;
  readonly message: string;
  readonly stack?: string;
  readonly service: string;
  readonly handler: string;
  readonly attempts: number;
  /** Milliseconds since 1970. */
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
}

/** How an address is written: `queue`, `topic/subscription`, `stream@group`. A topic's own dead letters stand under `topic/`. */
export function addressOf(source: Source): string {
  switch (source.kind) {
    case "queue":
      return source.name;
    case "subscription":
      return `${source.topic}/${source.name}`;
    case "stream":
      return `${source.name}@${source.group}`;
  }
}
