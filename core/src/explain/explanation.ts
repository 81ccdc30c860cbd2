import type { BatchBounds } from "../batch/batch.ts";
import type { AttributeChanges, Rule } from "@waybill/contracts";
import type { CircuitPolicy } from "../flow/circuit-options.ts";
import type { AddressState, Capabilities, Destination } from "../ports/transport.ts";
import type { AnyContract } from "../wiring/uses.ts";
import type { Timing } from "../schedules/timing.ts";

/** What happens to a message of one contract, as data and in words: printed it is its text. It says what is so, and promises nothing that the transport does not. */
export interface Explanation {
  readonly contract: string;
  readonly kind: AnyContract["kind"];
  readonly version: number;
  readonly transport: string;
  readonly to: Destination;
  /** The other brokers of the bus: what a handler reads from there and sends to here leaves before its own message is settled. */
  readonly besides: readonly string[];
  /** What a message survives from the moment its send has resolved; undefined for calls, which are not kept. */
  readonly accepted: Capabilities["durability"] | undefined;
  /** Services of this bus that send, publish, append, ask or open it. */
  readonly speakers: readonly string[];
  /** Schedules that services of this bus declare for it. */
  readonly schedules: readonly ScheduledBy[];
  /** Handlers of this bus that get it. */
  readonly takers: readonly Taker[];
  /** Readers on the broker that are none of this bus, and where it waits; undefined when the broker did not answer. */
  readonly elsewhere: readonly AddressState[] | undefined;
  readonly bodyBytesMax: number;
  /** Longest `delayMs`; 0 where the contract cannot be delayed. */
  readonly delayMsMax: number;
  /** What becomes of it, case by case. */
  readonly onFailure: readonly { readonly when: string; readonly outcome: string }[];
  /** All of this for a reader. */
  readonly text: string;
  /** The text. */
  toString(): string;
}

export type Explained = Omit<Explanation, "text" | "toString">;

/** A schedule that sends a contract. */
export interface ScheduledBy {
  readonly service: string;
  readonly name: string;
  readonly timing: Timing;
}

/** One handler of this bus, with every setting as it is in force. */
export interface Taker {
  readonly service: string;
  /** As logs and dead letters write it. */
  readonly handler: string;
  /** File and line of the binding. */
  readonly place: string;
  readonly address: string;
  /** Only what fits is delivered. */
  readonly where: Rule | undefined;
  /** What is written into the attributes of its copies. */
  readonly set: AttributeChanges | undefined;
  /** Each process reads a subscription of its own, which ends with it. */
  readonly everyInstance: boolean;
  /** Other contracts that are read from the same address, one limit for all. */
  readonly sharedWith: readonly string[];
  /** Handlers at a time in each process: of messages, or of batches. */
  readonly concurrency: number;
  /** When a batch closes; undefined for a handler of single messages. */
  readonly batch: Required<BatchBounds> | undefined;
  readonly prefetch: number;
  readonly lockMs: number;
  /** How long one run of the handler may take; undefined for no limit. */
  readonly timeoutMs: number | undefined;
  readonly order: Order;
  /** Undefined for calls: their caller has the error and decides. */
  readonly retry: Retries | undefined;
  readonly rate: Rate | undefined;
  /** When this process takes nothing, and for how long. */
  readonly circuit: CircuitPolicy | undefined;
  /** What stands there now, over all processes; undefined when the broker did not answer. */
  readonly state: AddressState | undefined;
}

/**
 * - none: by sending, as far as one handler at a time and no retry keep it.
 * - key by one process: messages of one key one after another, because one process at a time gets all of them.
 * - key by partition: so, and with it the other keys of its partition.
 * - key in process: messages of one key one after another within each process.
 * - key: the same over all processes.
 * - partition: items of one partition one after another over all processes.
 */
export type Order =
  | "none"
  | "key in process"
  | "key by one process"
  | "key by partition"
  | "key"
  | "partition";

/** How many begin per time in each process. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
  readonly perKey: boolean;
}

export interface Retries {
  /** Runs of the handler within one delivery, the first included. */
  readonly runsPerDelivery: number;
  /** Deliveries (runs in place included) before it is a dead letter. */
  readonly attempts: number;
  /** The pause before each further attempt in milliseconds, at its longest; chance takes up to `jitter` of it off. */
  readonly pausesMs: readonly number[];
  readonly jitter: number;
  /** It waits where it stands and holds back its key or partition, instead of going back to the broker. */
  readonly inPlace: boolean;
}
