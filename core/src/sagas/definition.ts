import type { Command, Event, Schema } from "@waybill/contracts";
import type { SagaContext } from "./context.ts";

/** What becomes of a message that its saga cannot take. */
export type SagaRule = "retry" | "deadLetter" | "ignore";

/** Why a saga cannot take a message: there is none of that id, it has finished, or its phase has no transition for it. */
export type SagaRefusal = "unknown" | "late" | "unexpected";

/** What moves a saga on: a message of a contract, or one of its own timeouts. */
export type SagaTrigger = Command | Event;

/** One step that a saga may take. */
export interface Transition {
  /** Undefined where it starts the saga. */
  readonly from: readonly string[] | undefined;
  readonly to: readonly string[];
  /** The saga's id; undefined for a timeout, which carries it. */
  readonly by: ((value: any) => string) | undefined;
  /** The state that it starts with. */
  readonly state: ((value: any) => unknown) | undefined;
  readonly handler: (value: any, saga: SagaContext<any>) => string | Promise<string>;
  readonly place: string;
}

/** All transitions by one contract, or by one timeout. */
export interface Step {
  /** The contract, or the private command that carries timeouts. */
  readonly trigger: SagaTrigger;
  /** The name of the timeout; undefined for a contract. */
  readonly timeout: string | undefined;
  readonly transitions: readonly Transition[];
}

/** What the private command of a saga says. */
export interface Timeout {
  readonly id: string;
  readonly name: string;
  /** Tells it from earlier ones of the name. */
  readonly token: string;
}

/** Everything that a saga says of itself. */
export interface SagaDefinition {
  readonly name: string;
  readonly state: Schema<any>;
  readonly phases: readonly string[];
  readonly timeouts: readonly string[];
  readonly rules: Readonly<Record<SagaRefusal, SagaRule>>;
  readonly archiveMs: number;
  readonly steps: readonly Step[];
  /** The commands that may undo something. */
  readonly sends: readonly Command[];
  /** Carries its timeouts to itself. */
  readonly alarm: Command<string, Timeout>;
  readonly place: string;
}

/** A saga's part of a binding. */
export interface SagaBinding {
  readonly definition: SagaDefinition;
  readonly trigger: SagaTrigger;
}

/** A phase that no transition leaves: with it the saga has finished. */
export function isFinal({ steps }: Pick<SagaDefinition, "steps">, phase: string): boolean {
  return steps.every(({ transitions }) =>
    transitions.every(({ from }) => from?.includes(phase) !== true),
  );
}

/** Whether a timeout means anything in a phase. */
export function takesTimeout(
  { steps }: Pick<SagaDefinition, "steps">,
  name: string,
  phase: string,
): boolean {
  return steps.some(
    ({ timeout, transitions }) =>
      timeout === name && transitions.some(({ from }) => from?.includes(phase) === true),
  );
}
