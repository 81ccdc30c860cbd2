import { type Command, type Event, type Schema, type Validated, command } from "@waybill/contracts";
import type { ValueOf } from "../context.ts";
import type { StoreFactory } from "../ports/store.ts";
import { placeOutside } from "../wiring/place.ts";
import type { Binding, HandlerDefaults, Service } from "../service.ts";
import type { SagaContext, SagaParts } from "./context.ts";
import type {
  SagaDefinition,
  SagaRefusal,
  SagaRule,
  SagaTrigger,
  Step,
  Timeout,
  Transition,
} from "./definition.ts";
import { diagramOf } from "./diagram.ts";
import type { TurnSpeech } from "./turn-context.ts";
import type { SagaTurn } from "./turn.ts";

export interface SagaOptions<
  State extends Schema<any>,
  Phase extends string,
  Alarm extends string,
  Sends extends readonly Command[],
  Publishes extends readonly Event[],
  Client,
> {
  /** Where it is kept, with inbox and outbox: each message and what it does are one transaction. */
  readonly store: StoreFactory<Client>;
  /** Its state is validated whenever it is loaded and saved, and kept as JSON. */
  readonly state: State;
  /** Where a saga may stand. Those that no transition leaves end it. */
  readonly phases: readonly Phase[];
  readonly sends?: Sends;
  readonly publishes?: Publishes;
  /** Names of its timeouts. */
  readonly timeouts?: readonly Alarm[];
  /** A message of a saga that is not there: not started yet, or forgotten. Default "retry", and a dead letter in the end (SAGA_UNKNOWN). */
  readonly unknown?: SagaRule;
  /** A message of a saga that has finished, one that starts it again included. Default "deadLetter" (SAGA_FINISHED). */
  readonly late?: SagaRule;
  /** A message for which the saga's phase has no transition, one that starts it again included. Default "retry", and a dead letter in the end (SAGA_UNEXPECTED). */
  readonly unexpected?: SagaRule;
  /** How long one that has finished is remembered, in milliseconds, from one minute. Default 30 days. */
  readonly archiveMs?: number;
  /** As `connect({ handlers })`, for all transitions. */
  readonly handlers?: HandlerDefaults;
}

type Result<Value> = Value | Promise<Value>;

/** What starts a saga. */
export interface StartOptions<Value, Parts extends SagaParts, To extends Parts["phase"]> {
  /** Its id: text of 1 to 256 characters. */
  readonly by: (value: Value) => string;
  readonly state: (value: Value) => Parts["state"];
  readonly to: readonly To[];
}

/** What moves a saga on. */
export interface MoveOptions<Value, Parts extends SagaParts, To extends Parts["phase"]> {
  /** The id of the saga that the message is for. */
  readonly by: (value: Value) => string;
  readonly in: readonly Parts["phase"][];
  readonly to: readonly To[];
}

/**
 * A saga is a service value: `connect({ services: [orderProcess] })`. Each binder returns a new one. A handler answers the phase to which the
 * saga goes, one of its `to`.
 */
export interface Saga<Parts extends SagaParts = any, Bound = any> extends Service<
  { sends: Extract<Parts["declared"], Command>[]; publishes: Extract<Parts["declared"], Event>[] },
  Bound
> {
  readonly saga: SagaDefinition;
  /** For the compiler alone; no saga has it. */
  readonly parts?: Parts;

  /** A command or an event that begins one. Where there is one of that id already, this one takes it by `unexpected` or `late`, or by an `on` of its own. */
  startedBy<Contract extends SagaTrigger, const To extends Parts["phase"]>(
    contract: Contract,
    options: StartOptions<ValueOf<Contract>, Parts, To>,
    handler: (value: ValueOf<Contract>, saga: SagaContext<Parts>) => Result<NoInfer<To>>,
  ): Saga<Parts, Bound | Contract>;

  /** A command or an event that moves one on which stands in a phase of `in`. */
  on<Contract extends SagaTrigger, const To extends Parts["phase"]>(
    contract: Contract,
    options: MoveOptions<ValueOf<Contract>, Parts, To>,
    handler: (value: ValueOf<Contract>, saga: SagaContext<Parts>) => Result<NoInfer<To>>,
  ): Saga<Parts, Bound | Contract>;

  /** A timeout that comes while it stands in a phase of `in`. One that was cancelled or set anew does not come. */
  onTimeout<const To extends Parts["phase"]>(
    name: Parts["timeout"],
    options: Pick<MoveOptions<never, Parts, To>, "in" | "to">,
    handler: (saga: SagaContext<Parts>) => Result<NoInfer<To>>,
  ): Saga<Parts, Bound>;

  /** Its phases and transitions, as a Mermaid state diagram. */
  diagram(): string;
}

/** The state of a saga: what a function that its handlers share names. */
export type SagaStateOf<S extends Saga> = S extends Saga<infer Parts, any> ? Parts["state"] : never;
export type SagaPhaseOf<S extends Saga> = S extends Saga<infer Parts, any> ? Parts["phase"] : never;
/** The type of what its handlers get beside their messages. */
export type SagaContextOf<S extends Saga> =
  S extends Saga<infer Parts, any> ? SagaContext<Parts> : never;

const dayMs = 86_400_000;
const archiveMsDefault = 30 * dayMs;

/**
 * Declares a saga: a process over several services, whose state is kept in a store between its messages.
 *
 * @example
 * export const orderProcess = saga("order-process", {
 *   store, state: OrderState, phases: ["reserving", "charging", "done", "cancelled"], sends: [ReserveStock, …], timeouts: ["payment"],
 * })
 *   .startedBy(OrderPlaced, { by: ({ id }) => id, state: (order) => ({ order }), to: ["reserving"] }, async (order, saga) => {
 *     await saga.send(ReserveStock, order);
 *     return "reserving";
 *   })
 *   .on(StockReserved, { by: ({ id }) => id, in: ["reserving"], to: ["charging"] }, async (event, saga) => { … });
 */
export function saga<
  State extends Schema<any>,
  const Phase extends string,
  Client,
  const Alarm extends string = never,
  const Sends extends readonly Command[] = readonly never[],
  const Publishes extends readonly Event[] = readonly never[],
>(
  name: string,
  options: SagaOptions<State, Phase, Alarm, Sends, Publishes, Client>,
): Saga<
  {
    readonly state: Validated<State>;
    readonly phase: Phase;
    readonly timeout: Alarm;
    readonly declared: Sends[number] | Publishes[number];
    readonly client: Client;
  },
  never
> {
  const place = placeOutside(2);
  const { unknown = "retry", late = "deadLetter", unexpected = "retry" } = options;
  const rules: Readonly<Record<SagaRefusal, SagaRule>> = { unknown, late, unexpected };
  const definition: SagaDefinition = {
    name,
    state: options.state,
    phases: options.phases,
    timeouts: options.timeouts ?? [],
    rules,
    archiveMs: options.archiveMs ?? archiveMsDefault,
    steps: [],
    sends: options.sends ?? [],
    alarm: { ...command(`${name}.timeout`, { input: timeoutSchema }), definedAt: place },
    place,
  };
  return build(definition, { ...options, handlers: options.handlers ?? {} }) as Saga<any, never>;
}

type BuildOptions = Pick<
  SagaOptions<any, string, string, readonly Command[], readonly Event[], unknown>,
  "store" | "sends" | "publishes"
> & { readonly handlers: HandlerDefaults };

interface Asked extends Pick<Transition, "to"> {
  readonly by?: Transition["by"];
  readonly in?: readonly string[];
  readonly state?: Transition["state"];
}

function build(definition: SagaDefinition, options: BuildOptions): Saga {
  const { name, place, alarm, steps } = definition;
  const { store, sends = [], publishes = [] } = options;
  const hasTimeouts = definition.timeouts.length > 0;
  const add = (
    step: Pick<Step, "trigger" | "timeout">,
    asked: Asked,
    handler: Transition["handler"],
  ): Saga => {
    const { by, in: from, state, to } = asked;
    const transition = { from, to, by, state, handler, place: placeOutside(3) };
    return build({ ...definition, steps: withTransition(steps, step, transition) }, options);
  };
  return Object.freeze({
    name,
    uses: { store, publishes, sends: hasTimeouts ? [...sends, alarm] : sends },
    bindings: bindingsOf(definition, options.handlers),
    place,
    saga: definition,
    startedBy: (trigger: SagaTrigger, asked: Asked, handler: Transition["handler"]) =>
      add({ trigger, timeout: undefined }, { ...asked, in: undefined as never }, handler),
    on: (trigger: SagaTrigger, asked: Asked, handler: Transition["handler"]) =>
      add({ trigger, timeout: undefined }, { ...asked, in: asked.in ?? [] }, handler),
    onTimeout: (timeout: string, asked: Asked, handler: Transition["handler"]) =>
      add({ trigger: alarm, timeout }, { to: asked.to, in: asked.in ?? [] }, handler),
    diagram: () => diagramOf(definition),
  }) as unknown as Saga;
}

function withTransition(
  steps: readonly Step[],
  { trigger, timeout }: Pick<Step, "trigger" | "timeout">,
  transition: Transition,
): readonly Step[] {
  const isSame = (step: Step): boolean => step.trigger === trigger && step.timeout === timeout;
  if (!steps.some(isSame)) return [...steps, { trigger, timeout, transitions: [transition] }];
  return steps.map((step) =>
    isSame(step) ? { ...step, transitions: [...step.transitions, transition] } : step,
  );
}

/** One for each contract, and one for all timeouts. */
function bindingsOf(definition: SagaDefinition, options: HandlerDefaults): readonly Binding[] {
  const contracts = new Map<SagaTrigger, string>();
  for (const { trigger, transitions } of definition.steps)
    if (!contracts.has(trigger)) contracts.set(trigger, transitions[0]?.place ?? "");
  // What an older version of it has set must find somebody.
  if (definition.timeouts.length > 0 && !contracts.has(definition.alarm))
    contracts.set(definition.alarm, definition.place);
  return [...contracts].map(([trigger, place]) => ({
    verb: (trigger as SagaTrigger | undefined)?.kind === "event" ? "on" : "handle",
    contract: trigger,
    handler: runTurn,
    options,
    batch: undefined,
    place,
    saga: { definition, trigger },
  }));
}

interface TurnContext extends TurnSpeech {
  readonly sagaTurn: SagaTurn;
}

/** The handler of every binding of every saga. */
function runTurn(value: unknown, context: TurnContext): Promise<void> {
  return context.sagaTurn.run(value, context);
}

const timeoutSchema: Schema<Timeout> = {
  "~standard": {
    version: 1,
    vendor: "waybill",
    validate: (value) => {
      const { id, name, token } = Object(value) as Partial<Record<keyof Timeout, unknown>>;
      if (typeof id === "string" && typeof name === "string" && typeof token === "string")
        return { value: { id, name, token } };
      return { issues: [{ message: "is no timeout: it needs an id, a name and a token" }] };
    },
  },
};
