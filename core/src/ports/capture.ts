import type { Event, Stream } from "@waybill/contracts";
import type { Environment } from "./environment.ts";
import type { Logger } from "./logger.ts";
import type { Outgoing } from "./transport.ts";

/** What a service publishes without a handler: changes that another program made, read from the log of its database. */
export interface CaptureFactory {
  readonly name: string;
  /** Looks whether it can work, and makes what is missing where it may. Rejects with what has to be done; nothing is left open then. */
  open(host: CaptureHost): Promise<Capture>;
}

export interface CaptureHost {
  readonly environment: Environment;
  readonly logger: Logger;
  /** False where the bus only verifies: then nothing that stays is made. */
  readonly mayCreate: boolean;
  /** Checks and encodes one message. Errors: MESSAGE_INVALID, BODY_TOO_LARGE, which no repetition mends. */
  prepare(message: CapturedMessage): Outgoing | Promise<Outgoing>;
  /** Resolves when the broker has confirmed all of it, in this order. After a rejection some of it may be stored; the same may be sent again. */
  deliver(batch: readonly Outgoing[]): Promise<void>;
}

export interface CapturedMessage {
  readonly contract: Event | Stream;
  readonly value: unknown;
  /** The same whenever the same change is read again: by it an inbox drops the repeat. */
  readonly id: string;
}

export interface Capture extends AsyncDisposable {
  readonly name: string;
  /** From now on it publishes. */
  start(): void;
  health(): CaptureHealth;
  /** Ends reading, and what is on its way. What the broker has not confirmed is read again by the next one. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * connecting: no line to the database. standby: another process captures, this one takes over. snapshot: reads what is there. capturing: reads
 * the log. halted: something that only a person can mend; nothing is skipped.
 */
export type CaptureState = "connecting" | "standby" | "snapshot" | "capturing" | "halted";

export interface CaptureHealth {
  readonly name: string;
  readonly state: CaptureState;
  readonly status: "up" | "degraded" | "failed" | "down";
  /** Why it is not up, each a sentence. */
  readonly reasons: readonly string[];
  /** Messages that this process has published and the broker has confirmed. */
  readonly published: number;
  /** How much of its log the database keeps for this capture, in bytes; undefined when it was not asked yet. */
  readonly retainedBytes: number | undefined;
}
