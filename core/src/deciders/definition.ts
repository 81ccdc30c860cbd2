import type { Command, Event, Schema } from "@waybill/contracts";
import type { PayloadOf } from "../context.ts";

/** What a decider knows of the command beside its input. */
export interface DecideContext {
  /** The key of the stream. */
  readonly key: string;
  /** The version of the state: 0 where nothing has happened yet. */
  readonly version: number;
  /** On the clock of the bus. */
  readonly now: Date;
  /** The id of the command. */
  readonly commandId: string;
}

/** What `evolve` knows of an event beside its payload. */
export interface EvolveContext {
  readonly key: string;
  /** The version that the event makes. */
  readonly version: number;
  /** When it was decided. */
  readonly time: Date;
  readonly id: string;
}

/** Something that has happened, in terms of a contract. */
export interface Happened<E extends Event = Event> {
  readonly event: E;
  readonly payload: PayloadOf<E>;
}

/** Any of these events, each with its own payload. */
export type AnyHappened<E extends Event> = E extends Event ? Happened<E> : never;

/** Says that a command is not obeyed. */
export interface Rejection {
  readonly rejected: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** What becomes of a command that is rejected. */
export type RejectedRule = "deadLetter" | "ignore";

export type Decide = (
  input: any,
  state: any,
  context: DecideContext,
) => Happened<any> | readonly Happened<any>[] | Rejection;

export type Evolve = (state: any, payload: any, event: EvolveContext) => unknown;

/** Everything that a decider says of itself. */
export interface DeciderDefinition {
  readonly name: string;
  readonly state: Schema<any>;
  readonly initial: (key: string) => unknown;
  readonly commands: readonly Command[];
  readonly events: readonly Event[];
  /** Those that leave. */
  readonly publishes: readonly Event[];
  /** Undefined: each command has a `key` of its own. */
  readonly key: ((input: any) => string) | undefined;
  readonly decide: Readonly<Record<string, Decide>>;
  readonly evolve: Readonly<Record<string, Evolve>>;
  readonly rejected: RejectedRule;
  /** A snapshot is taken behind so many events; 0: none is. */
  readonly snapshotEvery: number;
  readonly stateVersion: number;
  readonly eventsMax: number;
  readonly place: string;
}

/** A decider's part of a binding. */
export interface DeciderBinding {
  readonly definition: DeciderDefinition;
  readonly command: Command;
}

/**
 * Names an event with its payload: what `decide` answers.
 *
 * @example
 * happened(Withdrawn, { accountId, cents })
 */
export function happened<E extends Event>(event: E, payload: NoInfer<PayloadOf<E>>): Happened<E> {
  return { event, payload };
}

/**
 * Says why a command is not obeyed: what `decide` answers. Nothing is appended. `details` is plain data for the reader of the dead letter.
 *
 * @example
 * reject("There is not enough money.", { cents: state.cents })
 */
export function reject(reason: string, details: Readonly<Record<string, unknown>> = {}): Rejection {
  return { rejected: reason, details };
}
