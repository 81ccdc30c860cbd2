import type { Command } from "@waybill/contracts";
import type { Context } from "../context.ts";
import type { SagaContext, SagaMoment } from "./context.ts";

/** What a turn needs of the context of its message. */
export type TurnSpeech = Pick<
  Context<any>,
  "send" | "publish" | "now" | "header" | "attributes" | "attempt" | "logger" | "signal"
> & { readonly transaction: unknown };

/** What a transition's handler does to its saga. */
export interface Acting {
  readonly id: string;
  readonly from: string | undefined;
  state: unknown;
  undo(command: Command, input: unknown): Promise<void>;
  compensate(speech: Pick<TurnSpeech, "send">): Promise<void>;
  timeout(
    speech: Pick<TurnSpeech, "send" | "now">,
    timeout: { readonly name: string; readonly when: SagaMoment },
  ): Promise<void>;
  cancelTimeout(name: string): void;
  /** Whatever it begins and does not await ends with the handler, and fails it. */
  watch(work: Promise<void>): Promise<void>;
}

/** What the handler of a transition sees. */
export class TurnContext implements SagaContext<any> {
  readonly id: string;
  readonly phase: string | undefined;
  readonly #turn: Acting;
  readonly #speech: TurnSpeech;

  constructor(turn: Acting, speech: TurnSpeech) {
    this.id = turn.id;
    this.phase = turn.from;
    this.#turn = turn;
    this.#speech = speech;
  }

  get state(): any {
    return this.#turn.state;
  }

  set state(state: unknown) {
    this.#turn.state = state;
  }

  get transaction(): any {
    return this.#speech.transaction;
  }

  get header(): TurnSpeech["header"] {
    return this.#speech.header;
  }

  get attributes(): TurnSpeech["attributes"] {
    return this.#speech.attributes;
  }

  get attempt(): number {
    return this.#speech.attempt;
  }

  get logger(): TurnSpeech["logger"] {
    return this.#speech.logger;
  }

  get signal(): AbortSignal {
    return this.#speech.signal;
  }

  // Accessors, so that the verbs can be taken out: `const { send, undo } = saga`.

  get now(): TurnSpeech["now"] {
    return this.#speech.now;
  }

  get send(): TurnSpeech["send"] {
    return this.#speech.send;
  }

  get publish(): TurnSpeech["publish"] {
    return this.#speech.publish;
  }

  get undo(): (command: Command, input: unknown) => Promise<void> {
    return (command, input) => this.#turn.watch(this.#turn.undo(command, input));
  }

  get compensate(): () => Promise<void> {
    return () => this.#turn.watch(this.#turn.compensate(this.#speech));
  }

  get timeout(): (name: string, when: SagaMoment) => Promise<void> {
    return (name, when) => this.#turn.watch(this.#turn.timeout(this.#speech, { name, when }));
  }

  get cancelTimeout(): (name: string) => void {
    return (name) => this.#turn.cancelTimeout(name);
  }
}
