import { WaybillError, messageOf } from "../errors.ts";
import type { Timer } from "../ports/environment.ts";
import type { ScheduleKey, ScheduleRow } from "../ports/schedule-rows.ts";
import type { Store, StoreTransaction } from "../ports/store.ts";
import type { Runtime } from "../runtime.ts";
import type { Speech } from "../speaking/speech.ts";
import type { OpenStore } from "../stores/stores.ts";
import { type Decision, decide } from "./decision.ts";
import { type DeclaredSchedule, type Line, toLine } from "./line.ts";
import { FiringFailed, firingId, messageOfFiring } from "./messages.ts";
import { fireKept } from "./kept.ts";
import { retireLeft } from "./retiring.ts";
import { tell } from "./telling.ts";
import { triggerIn } from "./triggering.ts";

export interface SchedulerParts {
  readonly open: OpenStore;
  readonly declared: readonly DeclaredSchedule[];
  /** Those of the connected services that keep their schedules here. */
  readonly services: readonly string[];
  readonly speech: Speech;
  readonly runtime: Pick<Runtime, "environment" | "logger">;
}

/** What others have changed, and who has died, is seen after so long. */
const refreshMs = 15_000;
const backoffMs = 250;
const backoffMsMax = 60_000;
const troubleTextMax = 4_000;
/** When to look again at what another process is firing. */
const handsMs = 1_000;

/**
 * Fires the schedules of one store. A firing is one transaction: the row is locked, its message is written into the outbox, and the next due time is noted.
 * Every process with the store waits for the next due time by itself; whoever comes first fires, and the others find it done.
 */
export class Scheduler {
  readonly #parts: SchedulerParts;
  readonly #lines: readonly Line[];
  #timer: Timer | undefined;
  #running: Promise<void> = Promise.resolve();
  #isRunning = false;
  #isEnded = false;
  #refreshAt = 0;
  /** When the first of those is due that keep their message. */
  #keptAt: number | undefined;
  /** Something was changed while it looked. */
  #isStale = false;
  #trouble: string | undefined;

  constructor(parts: SchedulerParts) {
    this.#parts = parts;
    this.#lines = parts.declared.map(toLine);
  }

  get store(): Store {
    return this.#parts.open.store;
  }

  /** Why schedules cannot fire, each a sentence. */
  get troubles(): readonly string[] {
    return this.#lines.flatMap(({ declared: { name, service }, trouble }) =>
      trouble === undefined
        ? []
        : [`the schedule "${name}" of service "${service}" cannot fire: ${trouble}`],
    );
  }

  /** Resolves when the rows stand in the store and what was missed has fired. */
  start(): Promise<void> {
    this.#wake();
    return this.#running;
  }

  /** Rows were changed, or are due earlier than it knows. */
  refresh(): void {
    this.#refreshAt = 0;
    if (this.#isRunning) this.#isStale = true;
    else this.#wake();
  }

  /** A message is kept until then. Of use after COMMIT. */
  kept(nextAt: number): void {
    if (nextAt >= (this.#keptAt ?? Infinity)) return;
    this.#keptAt = nextAt;
    if (this.#isRunning) return;
    if (nextAt <= this.#parts.runtime.environment.clock.now()) this.#wake();
    else this.#rest();
  }

  /** Fires once, beside the moments. Answers the id of the message. Errors: NOT_FOUND, FiringFailed. */
  trigger(key: ScheduleKey): Promise<string> {
    return this.#transaction((transaction) => triggerIn(transaction, key, this.#parts));
  }

  /** Resolves when nothing is at work any more. */
  end(): Promise<void> {
    this.#isEnded = true;
    this.#timer?.cancel();
    return this.#running;
  }

  #wake(): void {
    if (this.#isRunning || this.#isEnded) return;
    this.#timer?.cancel();
    this.#isRunning = true;
    this.#running = this.#look().finally(() => {
      this.#isRunning = false;
      if (!this.#isStale) return this.#rest();
      this.#isStale = false;
      this.#wake();
    });
  }

  /** Until the nearest due time, and never for long: clocks jump, and others change rows. */
  #rest(): void {
    if (this.#isEnded) return;
    this.#timer?.cancel();
    const { clock, timers } = this.#parts.runtime.environment;
    const now = clock.now();
    const monotonic = clock.monotonic();
    const waits = this.#lines.flatMap(({ nextAt, restsUntil }) =>
      nextAt === undefined ? [] : [Math.max(nextAt - now, restsUntil - monotonic)],
    );
    const keptMs = (this.#keptAt ?? Infinity) - now;
    const delayMs = Math.max(0, Math.min(this.#refreshAt - monotonic, keptMs, ...waits));
    this.#timer = timers.set(() => this.#wake(), delayMs);
  }

  async #look(): Promise<void> {
    const { environment } = this.#parts.runtime;
    const { clock } = environment;
    const monotonic = clock.monotonic();
    const isRefresh = monotonic >= this.#refreshAt;
    if (isRefresh)
      this.#refreshAt = monotonic + Math.round(refreshMs * (0.75 + environment.random() / 2));
    for (const line of this.#lines) {
      const isDue = isRefresh || (line.nextAt ?? Infinity) <= clock.now();
      if (isDue && monotonic >= line.restsUntil && !this.#isEnded) await this.#try(line);
    }
    try {
      if (isRefresh || (this.#keptAt ?? Infinity) <= clock.now()) await this.#fireKept();
      if (isRefresh) await retireLeft(this.#parts);
      this.#trouble = undefined;
    } catch (error) {
      // Tried again with the next refresh.
      this.#keptAt = undefined;
      if (this.#trouble === undefined)
        this.#parts.runtime.logger.warn(
          `${this.store.name} does not give what is scheduled in it now; it is asked again until it does: ${messageOf(error)}`,
        );
      this.#trouble = messageOf(error);
    }
  }

  async #fireKept(): Promise<void> {
    const { clock } = this.#parts.runtime.environment;
    this.#keptAt = await this.store.schedules.nextDue();
    while ((this.#keptAt ?? Infinity) <= clock.now() && !this.#isEnded) {
      const count = await this.#transaction((transaction) => fireKept(transaction, clock.now()));
      // What is due is in another process's hands, which may die with it.
      if (count === 0) return void (this.#keptAt = clock.now() + handsMs);
      this.#keptAt = await this.store.schedules.nextDue();
    }
  }

  async #try(line: Line): Promise<void> {
    try {
      const row = await this.#turn(line);
      line.nextAt = row?.nextAt;
      line.isNew = false;
      line.failures = 0;
      line.trouble = undefined;
    } catch (error) {
      await this.#failed(line, error);
    }
  }

  /** Undefined: another version of the service has it. */
  async #turn(line: Line): Promise<ScheduleRow | undefined> {
    const { open, runtime } = this.#parts;
    const { declared, isNew } = line;
    const situation = { now: runtime.environment.clock.now(), isNew };
    // Most looks find nothing to do, and lock nothing.
    const seen = await open.store.schedules.find(declared);
    const first = decide(declared, seen, situation);
    if (first === undefined || first.row === seen) return first?.row;
    const done = await this.#transaction(async (transaction) => {
      const decision = await this.#decided(line, transaction);
      if (decision !== undefined) await this.#fire(line, decision, transaction);
      return decision;
    });
    if (done !== undefined) tell(declared, done, runtime.logger);
    return done?.row;
  }

  /** With the row in hand. Whoever has inserted it at the same moment was first. */
  async #decided(
    { declared, isNew }: Line,
    { schedules }: StoreTransaction,
  ): Promise<Decision | undefined> {
    const situation = { now: this.#parts.runtime.environment.clock.now(), isNew };
    const row = await schedules.load(declared);
    const decision = decide(declared, row, situation);
    if (row !== undefined || decision === undefined) return decision;
    if (await schedules.insert(decision.row)) return decision;
    return decide(declared, await schedules.load(declared), situation);
  }

  async #fire(
    { declared, definition }: Line,
    { row, fires }: Decision,
    transaction: StoreTransaction,
  ): Promise<void> {
    const { speech } = this.#parts;
    const { service } = declared;
    for (const { due, missed } of fires) {
      const firing = { due: new Date(due), missed, isTriggered: false };
      const id = firingId(declared, due);
      const message = await messageOfFiring(definition, firing, { speech, service, id });
      await transaction.append([message]);
    }
    await transaction.schedules.update(row);
  }

  async #transaction<Result>(
    work: (transaction: StoreTransaction) => Promise<Result>,
  ): Promise<Result> {
    const { store, relay } = this.#parts.open;
    try {
      return await store.transaction(work);
    } catch (error) {
      if (error instanceof WaybillError && error.code === "COMMIT_UNKNOWN") relay.doubt();
      throw error;
    }
  }

  /** What it could not do is tried again, and later each time. A message that cannot be made is its service's to mend, and is shown to all. */
  async #failed(line: Line, error: unknown): Promise<void> {
    const { runtime, open } = this.#parts;
    const { environment, logger } = runtime;
    const { name, service } = line.declared;
    line.failures += 1;
    const pauseMs = Math.min(backoffMs * 2 ** (line.failures - 1), backoffMsMax);
    const restMs = Math.round(pauseMs * (0.75 + environment.random() / 2));
    line.restsUntil = environment.clock.monotonic() + restMs;
    line.nextAt ??= environment.clock.now();
    line.trouble = messageOf(error);
    if (line.failures === 1) {
      const why =
        error instanceof FiringFailed
          ? `its message cannot be made. It is tried again until it can; mend its input`
          : `${open.store.name} does not take it now. It is tried again until it does`;
      logger.error(
        `The schedule "${name}" of service "${service}" cannot fire: ${why}: ${line.trouble}`,
      );
    }
    if (error instanceof FiringFailed) await this.#note(line.declared, line.trouble);
  }

  async #note(key: ScheduleKey, text: string): Promise<void> {
    const trouble = text.slice(0, troubleTextMax);
    try {
      await this.#transaction(async ({ schedules }) => {
        const row = await schedules.load(key);
        if (row !== undefined && row.trouble !== trouble)
          await schedules.update({ ...row, trouble });
      });
    } catch (error) {
      this.#parts.runtime.logger.warn(
        `Why the schedule "${key.name}" cannot fire was not noted: ${messageOf(error)}`,
      );
    }
  }
}
