import { WaybillError } from "../errors.ts";
import type { SagaLine, SagaRow } from "../ports/saga-rows.ts";
import type { Store } from "../ports/store.ts";
import type { SagaDefinition } from "./definition.ts";
import { type Undo, readSaga } from "./record.ts";

/** A saga as it stands, without its state. */
export interface SagaSummary<Phase extends string = string> {
  readonly id: string;
  readonly phase: Phase;
  /** 1 when it is started, one more with each message that moved it on. */
  readonly version: number;
  readonly startedAt: Date;
  readonly changedAt: Date;
  /** Undefined while it runs. */
  readonly finishedAt: Date | undefined;
}

export interface SagaSnapshot<
  State = unknown,
  Phase extends string = string,
> extends SagaSummary<Phase> {
  readonly state: State;
  /** What `compensate` would send, in the order of noting. */
  readonly undo: readonly Undo[];
  /** Names of the timeouts that are set. */
  readonly timeouts: readonly string[];
}

export interface SagaQuery<Phase extends string = string> {
  /** Only those in this phase. */
  readonly phase?: Phase;
  /** Only those behind this id: the last one of the page before. */
  readonly after?: string;
  /** Most sagas, 1 to 1,000. Default 100. */
  readonly limit?: number;
}

const limitMost = 1_000;

/** The sagas of one kind, those that run and those that have finished and are not forgotten yet. */
export class SagaLook<State = unknown, Phase extends string = string> {
  readonly #definition: SagaDefinition;
  readonly #store: Store;

  constructor(definition: SagaDefinition, store: Store) {
    this.#definition = definition;
    this.#store = store;
  }

  /** Undefined where there is none. Error: STATE_INVALID where what is stored does not fit. */
  async find(id: string): Promise<SagaSnapshot<State, Phase> | undefined> {
    const row = await this.#store.sagas.find({ saga: this.#definition.name, id });
    if (row === undefined) return undefined;
    const { state, undo, timeouts } = await readSaga(this.#definition, row);
    return {
      ...summaryOf<Phase>(row),
      state: state as State,
      undo,
      timeouts: Object.keys(timeouts).toSorted(),
    };
  }

  /** In the order of ids. Error: OPTION_INVALID. */
  async list(query: SagaQuery<Phase> = {}): Promise<readonly SagaSummary<Phase>[]> {
    const { limit = 100, phase, after } = query;
    if (!Number.isSafeInteger(limit) || limit < 1 || limit > limitMost)
      throw new WaybillError(
        "OPTION_INVALID",
        `The limit of a list of sagas is ${String(limit)}; give a whole number from 1 to ${limitMost}.`,
      );
    const lines = await this.#store.sagas.list({
      saga: this.#definition.name,
      limit,
      ...(phase !== undefined && { phase }),
      ...(after !== undefined && { after }),
    });
    return lines.map((line) => summaryOf<Phase>(line));
  }
}

function summaryOf<Phase extends string>(line: SagaLine | SagaRow): SagaSummary<Phase> {
  const { id, phase, version, startedAt, changedAt, finishedAt } = line;
  return {
    id,
    phase: phase as Phase,
    version,
    startedAt: new Date(startedAt),
    changedAt: new Date(changedAt),
    finishedAt: finishedAt === undefined ? undefined : new Date(finishedAt),
  };
}
