import type { Count, MessageState, PurgeState } from "./inspection.ts";

/** What a broker can do, as data: drives core, the contract suite and the published table. */
export interface Capabilities {
  /** What an acknowledged message survives. */
  readonly durability: "memory" | "process-crash" | "power-loss" | "replicated";
  /** Within what the order of sending is the order of delivery to one consumer, retries aside; key: that of messages with one `partitionkey`. */
  readonly order: "none" | "key" | "queue";
  /** Longest delay the broker holds by itself, in milliseconds; 0 when it cannot delay. */
  readonly delayMsMax: number;
  /** Milliseconds to whose multiple a delay is rounded up; what falls due within one step comes in any order. */
  readonly delayStepMs: number;
  /**
   * What ends the lock of a process that falls silent. lease: `ReceiveOptions.lockMs` without renewal. connection: the end of its connection, which the
   * broker notices by missing signs of life; `lockMs` is not heeded.
   */
  readonly lock: "lease" | "connection";
  /** Order per session across competing receivers: see `QueueSpec.sessions`. */
  readonly sessions: boolean;
  /**
   * What keeps the order of a key between processes. sessions: one receiver at a time has a key, and others have others. single-consumer: one receiver
   * at a time has the whole queue or subscription that was declared with `sessions`, the next one takes over. partitions: one receiver at a time has a
   * partition, which holds many keys and every queue has; what it has in hand when it stops keeps the rest of that partition waiting. none: nothing does.
   */
  readonly keyOrder: "sessions" | "single-consumer" | "partitions" | "none";
  /** Most bytes of a session's state; 0 where sessions keep none. */
  readonly sessionStateBytesMax: number;
  /** Longest window of duplicate detection in milliseconds; 0 for none. */
  readonly dedupWindowMs: number;
  readonly bodyBytesMax: number;
  /** Rule operators that the broker evaluates itself; core evaluates the others at the consumer. */
  readonly filters: readonly FilterOperator[];
  /** `Acceptance.set` is done by the broker, so that dead letters show it; else core does it before the handler. */
  readonly ruleActions: boolean;
  /** Who keeps dead letters. */
  readonly deadLetters: "transport" | "core";
  /** `settle({ kind: "complete", send, state })` is one transaction. */
  readonly atomicSettle: boolean;
  readonly atomicBatch: boolean;
  /** The attempt is counted durably before the message is delivered. */
  readonly attemptsPersisted: boolean;
  /** So is each further run of a message that stays where it is: `Delivery.countRun`. */
  readonly attemptsInPlace: boolean;
  /** The broker counts what was released as an attempt. */
  readonly releaseCounts: boolean;
  /** While an owner lives, the declaration of another is OWNED_TWICE, from any process. */
  readonly owners: boolean;
  /** What it can be kept from creating, and then says of it what is missing or otherwise: see `TransportHost.mayCreate`. Absent: nothing. */
  readonly verifies?: "everything" | "all but streams" | undefined;
  readonly streams: boolean;
  /** Most times that a message is forwarded on its way: see `Forwarding`. 0 where addresses do not forward, nor their dead letters. */
  readonly forwardHopsMax: number;
  /** An address can be paused for all processes: see `inspection.pause`. It stays so as long as `durability` says. */
  readonly pause: boolean;
  /** exact: `inspection.ledger` accounts for every message. none: the broker does not keep such counts. */
  readonly conservation: "exact" | "none";
  /** A group of a stream can be put to another place: `inspection.seek`. */
  readonly seek: boolean;
  /** States in which `inspection` can list messages, and discard single ones that are not in flight. */
  readonly lists: readonly MessageState[];
  readonly purges: readonly PurgeState[];
  /** `inspection.follow` tells a message that waits from one that is gone. */
  readonly follows: boolean;
  /** Figures that `inspection.addresses()` knows; the others are undefined. */
  readonly counts: readonly Count[];
}

export type FilterOperator = "eq" | "compare" | "in" | "prefix" | "exists" | "logic";
