import type { Command, Event } from "@waybill/contracts";
import type { Context, InputOf } from "../context.ts";

/** The types of one saga, in one bundle. */
export interface SagaParts {
  readonly state: unknown;
  readonly phase: string;
  readonly timeout: string;
  /** The contracts that it sends and publishes. */
  readonly declared: Command | Event;
  /** The transaction of its store. */
  readonly client: unknown;
}

/** When a timeout comes. */
export type SagaMoment = { readonly afterMs: number } | { readonly at: Date };

/**
 * What a transition gets beside its message. Whatever it does (the state, what it sends, its timeouts, what it wants undone) is committed
 * together with its message's record, or not at all.
 */
export interface SagaContext<Parts extends SagaParts> extends Pick<
  Context<Parts["declared"]>,
  "send" | "publish" | "now" | "header" | "attributes" | "attempt" | "logger" | "signal"
> {
  readonly id: string;
  /** The phase in which the message found it; undefined in `startedBy`. */
  readonly phase: Parts["phase"] | undefined;
  /** Validated by its schema; may be changed or replaced, and is validated again when it is saved. */
  state: Parts["state"];
  /** The open transaction of the saga's store. */
  readonly transaction: Parts["client"];
  /** Notes how to take back what has been done: `compensate` sends it. Errors: MESSAGE_INVALID, CONTRACT_NOT_DECLARED. */
  undo<C extends Extract<Parts["declared"], Command>>(
    this: void,
    command: C,
    input: InputOf<C>,
  ): Promise<void>;
  /** Sends what was noted by `undo`, the last first, each once. */
  compensate(this: void): Promise<void>;
  /** Sets one of the saga's timeouts, in place of one of that name that is set. It ends when the saga comes to a phase that does not handle it. */
  timeout(this: void, name: Parts["timeout"], when: SagaMoment): Promise<void>;
  /** Nothing where it is not set. */
  cancelTimeout(this: void, name: Parts["timeout"]): void;
}
