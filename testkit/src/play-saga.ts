import type { Command, Event } from "@waybill/contracts";
import {
  type InputOf,
  type PayloadOf,
  type Saga,
  type SagaBinding,
  type SagaParts,
  type SagaRefusal,
  type SagaRow,
  type SendOptions,
  type TurnSpeech,
  type Undo,
  type ValueOf,
  WaybillError,
  checkSaga,
  sagaIdOf,
  readSaga,
  takeTurn,
} from "@waybill/core";
import { validatedCopy } from "./validated-copy.ts";

/** What one message did. */
export interface SagaPlay<Parts extends SagaParts> {
  /** "ran"; why the saga could not take it; or "ended" for a timeout that is not set any more. */
  readonly outcome: "ran" | SagaRefusal | "ended";
  /** Undefined where there is no saga. */
  readonly phase: Parts["phase"] | undefined;
  readonly state: Parts["state"] | undefined;
  readonly isFinished: boolean;
  /** What left, in order. */
  readonly sent: readonly SagaMessage[];
  readonly published: readonly SagaMessage[];
  /** Timeouts that this message set, in order. */
  readonly timeouts: readonly { readonly name: Parts["timeout"]; readonly afterMs: number }[];
  /** Names of all timeouts that are set now. */
  readonly waitingFor: readonly Parts["timeout"][];
  /** What `compensate` would send now, in the order of noting. */
  readonly undo: readonly Undo[];
  sentOf<C extends Command>(command: C): readonly InputOf<C>[];
  publishedOf<C extends Event>(event: C): readonly PayloadOf<C>[];
}

export interface SagaMessage {
  readonly contract: string;
  readonly value: unknown;
  readonly options: SendOptions;
}

/** A saga that is played without a bus and a store: each call answers the play so far, so that it can be branched. */
export interface PlayedSaga<Parts extends SagaParts> {
  /** A message that has come before. What it does is not shown. Rejects the play when the saga could not take it. */
  given<C extends Command | Event>(contract: C, value: ValueOf<C>): PlayedSaga<Parts>;
  /** So much time has passed. */
  after(ms: number): PlayedSaga<Parts>;
  /** The same for the timeout that was set last under that name. */
  givenTimeout(name: Parts["timeout"]): PlayedSaga<Parts>;
  when<C extends Command | Event>(contract: C, value: ValueOf<C>): Promise<SagaPlay<Parts>>;
  whenTimeout(name: Parts["timeout"]): Promise<SagaPlay<Parts>>;
}

export interface PlayOptions {
  /** What the clock shows at first, milliseconds since 1970. */
  readonly startAt?: number;
  /** What handlers get as `transaction`. Default: none. */
  readonly transaction?: unknown;
}

const startAtDefault = Date.UTC(2030, 0, 1);

/**
 * Plays messages against a saga, each as from the bus: validated, run, its state stored and read back.
 *
 * @example
 * const play = playSaga(orderProcess).given(OrderPlaced, order);
 * const { phase, sent } = await play.when(StockRejected, { orderId: "o-1" });
 */
export function playSaga<Parts extends SagaParts>(
  saga: Saga<Parts, any>,
  { startAt = startAtDefault, transaction }: PlayOptions = {},
): PlayedSaga<Parts> {
  checkSaga(saga);
  return played(
    { saga, transaction },
    Promise.resolve({ now: startAt, rows: new Map(), tokens: new Map() }),
  );
}

interface Stage {
  readonly saga: Saga<any, any>;
  readonly transaction: unknown;
}

interface World {
  readonly now: number;
  readonly rows: ReadonlyMap<string, SagaRow>;
  /** The newest of each name. */
  readonly tokens: ReadonlyMap<string, { readonly id: string; readonly token: string }>;
}

type Message =
  | { readonly contract: Command | Event; readonly value: unknown }
  | { readonly timeout: string };

interface Played {
  readonly world: World;
  readonly play: SagaPlay<any>;
}

function played(stage: Stage, world: Promise<World>): PlayedSaga<any> {
  // Whoever goes on with it sees what went wrong.
  world.catch(() => undefined);
  const given = (message: Message): PlayedSaga<any> =>
    played(
      stage,
      world.then(async (before) => {
        const { world: after, play } = await playOne(stage, before, message);
        if (play.outcome === "ran") return after;
        throw new WaybillError(
          "OPTION_INVALID",
          `${"timeout" in message ? `The timeout "${message.timeout}"` : `"${message.contract.name}"`} is given, and the saga "${stage.saga.name}" answers it with "${play.outcome}". Give what it takes, or look at it with when().`,
        );
      }),
    );
  const when = async (message: Message): Promise<SagaPlay<any>> =>
    (await playOne(stage, await world, message)).play;
  return {
    given: (contract, value) => given({ contract, value }),
    givenTimeout: (timeout) => given({ timeout }),
    after: (ms) =>
      played(
        stage,
        world.then((before) => ({ ...before, now: before.now + ms })),
      ),
    when: (contract, value) => when({ contract, value }),
    whenTimeout: (timeout) => when({ timeout }),
  };
}

async function playOne(stage: Stage, world: World, message: Message): Promise<Played> {
  const { name, saga: definition } = stage.saga;
  const binding = bindingOf(stage, message);
  const value = await valueOf(binding, world, message);
  const id = sagaIdOf(binding, value);
  const row = world.rows.get(id);
  const said: Said = { sent: [], published: [], alarms: [] };
  const turn = await takeTurn(binding, row, { id, value });
  if (typeof turn === "string")
    return { world, play: await playOf(stage, { row, said, outcome: turn }) };
  await turn.run(value, speechOf({ stage, world, said, alarm: definition.alarm.name }));
  const after = await turn.end(world.now);
  const tokens = new Map(world.tokens);
  for (const alarm of said.alarms) tokens.set(alarm.name, { id, token: alarm.token });
  const next = { now: world.now, rows: new Map(world.rows).set(id, after), tokens };
  if (after.saga !== name) throw new TypeError(`"${after.saga}" is not the saga that is played.`);
  return { world: next, play: await playOf(stage, { row: after, said, outcome: "ran" }) };
}

function bindingOf({ saga }: Stage, message: Message): SagaBinding {
  const wanted = "timeout" in message ? saga.saga.alarm : message.contract;
  const binding = saga.bindings.find(({ contract }) => contract === wanted)?.saga;
  if (binding !== undefined) return binding;
  throw new WaybillError(
    "CONTRACT_NOT_DECLARED",
    `The saga "${saga.name}" takes no "${wanted.name}". Bind it: on(contract, …).`,
  );
}

async function valueOf(
  { trigger }: SagaBinding,
  { tokens }: World,
  message: Message,
): Promise<unknown> {
  if ("timeout" in message) {
    const { timeout: name } = message;
    const last = tokens.get(name);
    if (last !== undefined) return { name, ...last };
    throw new WaybillError("NOT_FOUND", `Nothing has set the timeout "${name}" in this play.`);
  }
  return validatedCopy(
    trigger.kind === "event" ? trigger.payload : trigger.input,
    message.value,
    trigger.name,
  );
}

interface Said {
  readonly sent: SagaMessage[];
  readonly published: SagaMessage[];
  readonly alarms: { name: string; token: string; afterMs: number }[];
}

interface Speaking {
  readonly stage: Stage;
  readonly world: World;
  readonly said: Said;
  readonly alarm: string;
}

const silent = { debug() {}, info() {}, warn() {}, error() {} };

function speechOf({ stage, world, said, alarm }: Speaking): TurnSpeech {
  const { saga, transaction } = stage;
  const declared: readonly unknown[] = [...saga.uses.sends, ...saga.uses.publishes];
  const say = async (
    contract: Command | Event,
    given: unknown,
    options: SendOptions = {},
  ): Promise<{ id: string }> => {
    if (!declared.includes(contract))
      throw new WaybillError(
        "CONTRACT_NOT_DECLARED",
        `The saga "${saga.name}" does not declare "${contract.name}".`,
      );
    const schema = contract.kind === "event" ? contract.payload : contract.input;
    await validatedCopy(schema, given, contract.name);
    const value = structuredClone(given);
    if (contract.name === alarm) {
      const { name, token } = value as { name: string; token: string };
      const { delayMs, at } = options;
      said.alarms.push({
        name,
        token,
        afterMs: delayMs ?? (at?.getTime() ?? world.now) - world.now,
      });
    } else {
      const list = contract.kind === "event" ? said.published : said.sent;
      list.push({ contract: contract.name, value, options });
    }
    return { id: `play-${said.sent.length + said.published.length + said.alarms.length}` };
  };
  const time = new Date(world.now).toISOString();
  return {
    transaction,
    send: say,
    publish: say,
    now: () => new Date(world.now),
    header: {
      specversion: "1.0",
      id: "play",
      source: "/play",
      type: "play",
      time,
      datacontenttype: "application/json",
      conversationid: "play",
    },
    attributes: {},
    attempt: 1,
    logger: silent,
    signal: new AbortController().signal,
  };
}

interface Ended {
  readonly row: SagaRow | undefined;
  readonly said: Said;
  readonly outcome: SagaPlay<any>["outcome"];
}

async function playOf({ saga }: Stage, { row, said, outcome }: Ended): Promise<SagaPlay<any>> {
  const body = row === undefined ? undefined : await readSaga(saga.saga, row);
  const of = (list: readonly SagaMessage[], name: string): readonly any[] =>
    list.filter(({ contract }) => contract === name).map(({ value }) => value);
  return {
    outcome,
    phase: row?.phase,
    state: body?.state,
    isFinished: row?.finishedAt !== undefined,
    sent: said.sent,
    published: said.published,
    timeouts: said.alarms.map(({ name, afterMs }) => ({ name, afterMs })),
    waitingFor: Object.keys(body?.timeouts ?? {}).toSorted(),
    undo: body?.undo ?? [],
    sentOf: ({ name }) => of(said.sent, name),
    publishedOf: ({ name }) => of(said.published, name),
  };
}
