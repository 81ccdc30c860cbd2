import type { Command, Event, Schema, Validated } from "@waybill/contracts";
import type { InputOf, PayloadOf } from "../context.ts";
import type { StoreFactory } from "../ports/store.ts";
import type { HandlerDefaults, Service } from "../service.ts";
import { placeOutside } from "../wiring/place.ts";
import type { Decision, DecisionContext } from "./decision.ts";
import type {
  AnyHappened,
  DecideContext,
  DeciderDefinition,
  EvolveContext,
  RejectedRule,
  Rejection,
} from "./definition.ts";

/** The types of one decider, in one bundle. */
export interface DeciderParts {
  readonly state: unknown;
  readonly command: Command;
  readonly event: Event;
}

type Decided<E extends Event> = AnyHappened<E> | readonly AnyHappened<E>[] | Rejection;

/** One for each command, by its name. */
export type Decides<Commands extends Command, Events extends Event, State> = {
  readonly [C in Commands as C["name"]]: (
    input: InputOf<C>,
    state: State,
    context: DecideContext,
  ) => Decided<Events>;
};

/** One for each event, by its name. */
export type Evolves<Events extends Event, State> = {
  readonly [E in Events as E["name"]]: (
    state: State,
    payload: PayloadOf<E>,
    event: EvolveContext,
  ) => State;
};

export interface DeciderOptions<
  State extends Schema<any>,
  Commands extends readonly Command[],
  Events extends readonly Event[],
  Client,
> {
  /** Where the events are kept, with inbox and outbox: each command and what it makes happen are one transaction. */
  readonly store: StoreFactory<Client>;
  /** JSON, where snapshots are taken. It is folded from the events, so that it may change without a migration. */
  readonly state: State;
  /** The state of a key to which nothing has happened. */
  readonly initial: (key: string) => NoInfer<Validated<State>>;
  /** What it decides: it is their one owner. */
  readonly commands: Commands;
  /** What may happen. A stream is read for as long as it exists: an event that is decided no more stays here. */
  readonly events: Events;
  /** Those that leave, as ordinary events. Default: all of them. */
  readonly publishes?: NoInfer<readonly Events[number][]>;
  /** The stream that a command is for: text of 1 to 256 characters. Default: the `key` of each command's contract. */
  readonly key?: (input: NoInfer<InputOf<Commands[number]>>) => string;
  /**
   * What a command makes happen: one event (`happened`), several, none (`[]`), or `reject(why)`. Pure: it changes nothing, waits for nothing and
   * may run more than once. What it needs from elsewhere stands in the command.
   */
  readonly decide: NoInfer<Decides<Commands[number], Events[number], Validated<State>>>;
  /** The state after an event. Pure, and for every event that was ever appended: here nothing is refused. */
  readonly evolve: NoInfer<Evolves<Events[number], Validated<State>>>;
  /** What becomes of a command that is rejected. Default "deadLetter" (COMMAND_REJECTED), at once; "ignore" completes it and tells the log. */
  readonly rejected?: RejectedRule;
  /** A snapshot of the state is taken behind so many events, 1 to 10,000; false: never. Default 100. */
  readonly snapshotEvery?: number | false;
  /** Raise it when the state of the same events changes in what `evolve` calls: snapshots of another version are not used. Whole number from 1. Default 1. */
  readonly stateVersion?: number;
  /** Most events that are read for one command, 1,000 to 10,000,000; then STREAM_TOO_LONG. Above 1,000 the log is told. Default 100,000. */
  readonly eventsMax?: number;
  /** As `connect({ handlers })`, for all commands. */
  readonly handlers?: HandlerDefaults;
}

/** A decider is a service value: `connect({ services: [accounts] })`. Only it publishes its events. */
export interface Decider<Parts extends DeciderParts = any> extends Service<
  Record<never, never>,
  Parts["command"]
> {
  readonly decider: DeciderDefinition;
  /** For the compiler alone; no decider has it. */
  readonly parts?: Parts;
}

export type DeciderStateOf<D extends Decider> =
  D extends Decider<infer Parts> ? Parts["state"] : never;
export type DeciderEventOf<D extends Decider> =
  D extends Decider<infer Parts> ? Parts["event"] : never;
export type DeciderCommandOf<D extends Decider> =
  D extends Decider<infer Parts> ? Parts["command"] : never;

const snapshotEveryDefault = 100;
const eventsMaxDefault = 100_000;

/**
 * Declares an event-sourced aggregate: of each key the store keeps what has happened, and the state follows from it. Every command is decided on
 * the whole of what has happened before, and its events are appended, recorded as handled and published together, or not at all.
 *
 * @example
 * export const accounts = decider("accounts", {
 *   store, state: Account, initial: () => ({ cents: 0 }), commands: [Deposit, Withdraw], events: [Deposited, Withdrawn],
 *   decide: {
 *     [Deposit.name]: (input) => happened(Deposited, input),
 *     [Withdraw.name]: (input, state) => state.cents < input.cents ? reject("There is not enough money.") : happened(Withdrawn, input),
 *   },
 *   evolve: {
 *     [Deposited.name]: (state, { cents }) => ({ cents: state.cents + cents }),
 *     [Withdrawn.name]: (state, { cents }) => ({ cents: state.cents - cents }),
 *   },
 * });
 */
export function decider<
  State extends Schema<any>,
  const Commands extends readonly Command[],
  const Events extends readonly Event[],
  Client,
>(
  name: string,
  options: DeciderOptions<State, Commands, Events, Client>,
): Decider<{
  readonly state: Validated<State>;
  readonly command: Commands[number];
  readonly event: Events[number];
}> {
  const place = placeOutside(2);
  const { store, handlers = {}, snapshotEvery = snapshotEveryDefault } = options;
  const publishes = options.publishes ?? options.events;
  const definition: DeciderDefinition = {
    name,
    state: options.state,
    initial: options.initial,
    commands: options.commands,
    events: options.events,
    publishes,
    key: options.key,
    decide: options.decide,
    evolve: options.evolve,
    rejected: options.rejected ?? "deadLetter",
    snapshotEvery: snapshotEvery === false ? 0 : snapshotEvery,
    stateVersion: options.stateVersion ?? 1,
    eventsMax: options.eventsMax ?? eventsMaxDefault,
    place,
  };
  // JavaScript may give anything; the checks at start say so.
  const commands: unknown = options.commands;
  const bindings = (Array.isArray(commands) ? (commands as readonly Command[]) : []).map(
    (command) => ({
      verb: "handle" as const,
      contract: command,
      handler: decideOne,
      options: handlers,
      batch: undefined,
      place,
      decider: { definition, command },
    }),
  );
  return Object.freeze({
    name,
    uses: { store, publishes },
    bindings,
    place,
    decider: definition,
  });
}

interface DecidingContext extends DecisionContext {
  readonly decision: Decision;
}

/** The handler of every binding of every decider. */
function decideOne(input: unknown, context: DecidingContext): void {
  context.decision.run(input, context);
}
