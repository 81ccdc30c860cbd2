import type { Command, Event } from "@waybill/contracts";
import {
  type AnyHappened,
  type Decider,
  type DeciderCommandOf,
  type DeciderEventOf,
  type DeciderStateOf,
  Decision,
  type EventRow,
  type InputOf,
  type PayloadOf,
  type Rejection,
  StreamFold,
  WaybillError,
  checkDecider,
  keyOfCommand,
  writeSnapshot,
} from "@waybill/core";
import { validatedCopy } from "./validated-copy.ts";

/** What one command did. */
export interface DeciderPlay<State, E extends Event> {
  /** What happened, in order, as `happened()` makes it and JSON brings it back; none where the command was rejected or changed nothing. */
  readonly events: readonly AnyHappened<E>[];
  /** Undefined where the command was obeyed. */
  readonly rejection: Rejection | undefined;
  /** The key of the command's stream. */
  readonly key: string;
  /** The state and its version afterwards. */
  readonly state: State;
  readonly version: number;
}

/** A decider that is played without a bus and a store: each call answers the play so far, so that it can be branched. */
export interface PlayedDecider<State, C extends Command, E extends Event> {
  /** Something that has happened before. */
  given<One extends E>(event: One, payload: PayloadOf<One>): PlayedDecider<State, C, E>;
  /** The same as an older version of its contract wrote it: its upcasters bring it up. */
  givenVersion(event: E, version: number, body: unknown): PlayedDecider<State, C, E>;
  /** So much time has passed. */
  after(ms: number): PlayedDecider<State, C, E>;
  when<One extends C>(command: One, input: InputOf<One>): Promise<DeciderPlay<State, E>>;
}

export interface DeciderPlayOptions {
  /** What the clock shows at first, milliseconds since 1970. */
  readonly startAt?: number;
  /** The key of the stream of which the events are that are given. Default: the key of the command. */
  readonly key?: string;
}

const startAtDefault = Date.UTC(2030, 0, 1);

/**
 * Plays commands against a decider, each as from the bus: validated, decided on what has happened, and each event stored and read back, as the
 * state where snapshots are taken.
 *
 * @example
 * const play = playDecider(accounts).given(Deposited, { accountId: "a", cents: 500 });
 * const { events, rejection } = await play.when(Withdraw, { accountId: "a", cents: 800 });
 */
export function playDecider<D extends Decider>(
  decider: D,
  { startAt = startAtDefault, key }: DeciderPlayOptions = {},
): PlayedDecider<DeciderStateOf<D>, DeciderCommandOf<D>, DeciderEventOf<D>> {
  checkDecider(decider);
  return played({ decider, key }, { now: startAt, facts: [] });
}

interface Stage {
  readonly decider: Decider;
  readonly key: string | undefined;
}

interface Fact {
  readonly event: Event;
  readonly version: number;
  readonly body: unknown;
  readonly time: number;
}

interface World {
  readonly now: number;
  readonly facts: readonly Fact[];
}

function played(stage: Stage, world: World): PlayedDecider<any, any, any> {
  const { now, facts } = world;
  const given = (fact: Omit<Fact, "time">): PlayedDecider<any, any, any> =>
    played(stage, { now, facts: [...facts, { ...fact, time: now }] });
  return {
    given: (event, payload) => given({ event, version: event.version, body: payload }),
    givenVersion: (event, version, body) => given({ event, version, body }),
    after: (ms) => played(stage, { now: now + ms, facts }),
    when: (command, input) => playOne(stage, world, { command, input }),
  };
}

async function playOne(
  stage: Stage,
  { now, facts }: World,
  { command, input }: { readonly command: Command; readonly input: unknown },
): Promise<DeciderPlay<any, any>> {
  const { decider: definition, name } = stage.decider;
  if (!definition.commands.includes(command))
    throw new WaybillError(
      "CONTRACT_NOT_DECLARED",
      `The decider "${name}" does not decide "${command.name}". Add it to its commands.`,
    );
  const value = await validatedCopy(command.input, input, command.name);
  const key = keyOfCommand(definition, command, value);
  const fold = new StreamFold(definition, {
    key: stage.key ?? key,
    version: 0,
    state: definition.initial(stage.key ?? key),
    snapshotAt: 0,
  });
  for (const fact of facts) await fold.row(rowOf(stage, fold.standing, fact));
  const before = fold.standing;
  const decision = new Decision({ definition, command, standing: before });
  decision.run(value, { header: { id: "play" }, now: () => new Date(now) });
  let made = 0;
  const id = (): string => `play-${(made += 1)}`;
  const { occurrences, standing } = await decision.end({ now, id, metadata: "{}" });
  if (definition.snapshotEvery > 0) await writeSnapshot(definition, standing.state);
  return {
    events: occurrences.map(({ happened: { event }, payload }) => ({ event, payload })),
    rejection: decision.rejection,
    key: before.key,
    state: standing.state,
    version: standing.version,
  };
}

function rowOf(
  { decider: { name, decider: definition } }: Stage,
  { key, version }: StreamFold["standing"],
  { event, version: contractVersion, body, time }: Fact,
): EventRow {
  if (!definition.events.includes(event))
    throw new WaybillError(
      "CONTRACT_NOT_DECLARED",
      `"${event.name}" is given, and is none of the events of the decider "${name}". Add it to its events.`,
    );
  return {
    decider: name,
    key,
    version: version + 1,
    id: `given-${version + 1}`,
    type: event.name,
    contractVersion,
    time,
    body: JSON.stringify(body),
    metadata: "{}",
  };
}
