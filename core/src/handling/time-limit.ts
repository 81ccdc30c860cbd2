import { WaybillError } from "../errors.ts";
import type { Envelope } from "../envelope.ts";
import type { Timer } from "../ports/environment.ts";
import type { Route } from "../wiring/route.ts";
import type { Runtime } from "../runtime.ts";
import type { Binding } from "../service.ts";
import { within } from "../within.ts";

/** How long a handler has to end after its signal was aborted. */
const graceMs = 1_000;
/** Abandoned runs of one handler that have not ended; above it further ones keep their place. */
const overdueMax = 100;

/** What a run is bounded by: its signal, and how its sends are refused. */
export interface Limited {
  /** Aborts the handler's signal. */
  expire(reason: WaybillError): void;
}

/** Waits for a run of a handler, but no longer than it may take. */
export type TimeLimit = <Result>(
  work: PromiseLike<Result>,
  run: readonly Limited[],
  request?: Envelope,
) => PromiseLike<Result>;

/** Runs of one handler that were given up and have not ended. */
export class Overdue {
  #running = 0;
  #waiting: (() => void)[] = [];

  get running(): number {
    return this.#running;
  }

  /** Calls back at once, or when another one has ended where too many have not. */
  begin(callback: () => void): void {
    if (this.#running >= overdueMax) return void this.#waiting.push(() => this.begin(callback));
    this.#running += 1;
    callback();
  }

  end(): void {
    this.#running -= 1;
    this.#waiting.shift()?.();
  }
}

/**
 * Bounds each run of a handler by its `timeoutMs`, that of a query also by the deadline of its caller. Then its signal is aborted;
 * a second later the run is given up: it has failed with HANDLER_TIMED_OUT (a query with DEADLINE_EXCEEDED), and what it still sends is refused.
 * Undefined where nothing bounds a run.
 */
export function timeLimit(route: Route, runtime: Runtime): TimeLimit | undefined {
  const { timeoutMs } = route.options;
  const { verb } = route.binding;
  if (verb === "serve" || (timeoutMs === undefined && verb !== "answer")) return undefined;
  const overdue = runtime.counters.overdueOf(route.handlerName);
  const limitOf = verb === "answer" ? callLimit(route, runtime) : messageLimit(route);
  return (work, run, request) => {
    const limit = limitOf(request);
    return limit === undefined
      ? work
      : new LimitedRun(limit, { route, runtime, overdue }).of(work, run);
  };
}

interface Limit {
  readonly afterMs: number;
  readonly error: () => WaybillError;
}

function messageLimit({ options, handlerName }: Route): () => Limit | undefined {
  const { timeoutMs: afterMs } = options;
  if (afterMs === undefined) return () => undefined;
  const limit = {
    afterMs,
    error: () =>
      new WaybillError(
        "HANDLER_TIMED_OUT",
        `${handlerName} did not end within ${afterMs} ms. Let it heed context.signal, or raise timeoutMs.`,
        { retryable: true, details: { timeoutMs: afterMs } },
      ),
  };
  return () => limit;
}

function callLimit(route: Route, runtime: Runtime): (request?: Envelope) => Limit | undefined {
  const own = messageLimit(route);
  return (request) => {
    const limit = own();
    const { deadline, type } = request?.header ?? {};
    if (deadline === undefined) return limit;
    const leftMs = Math.max(0, Date.parse(deadline) - runtime.environment.clock.now());
    if (!(leftMs < (limit?.afterMs ?? Infinity))) return limit;
    const text = `The caller of "${type}" stopped waiting at ${deadline}.`;
    return { afterMs: leftMs, error: () => new WaybillError("DEADLINE_EXCEEDED", text) };
  };
}

interface LimitParts {
  readonly route: Route;
  readonly runtime: Runtime;
  readonly overdue: Overdue;
}

class LimitedRun {
  readonly #limit: Limit;
  readonly #parts: LimitParts;
  #timer: Timer;
  #expired: WaybillError | undefined;
  #isOver = false;
  #isAbandoned = false;
  #giveUp: (error: WaybillError) => void = () => undefined;
  #run: readonly Limited[] = [];

  constructor(limit: Limit, parts: LimitParts) {
    this.#limit = limit;
    this.#parts = parts;
    this.#timer = parts.runtime.environment.timers.set(() => this.#expire(), limit.afterMs);
  }

  of<Result>(work: PromiseLike<Result>, run: readonly Limited[]): Promise<Result> {
    const ended = Promise.withResolvers<Result>();
    this.#run = run;
    this.#giveUp = ended.reject;
    void this.#follow(work, ended);
    return ended.promise;
  }

  async #follow<Result>(
    work: PromiseLike<Result>,
    ended: PromiseWithResolvers<Result>,
  ): Promise<void> {
    try {
      const value = await work;
      this.#end();
      ended.resolve(value);
    } catch (error) {
      this.#end();
      ended.reject(this.#expired === undefined ? error : this.#because(error));
    }
  }

  #expire(): void {
    const error = this.#limit.error();
    this.#expired = error;
    for (const each of this.#run) each.expire(error);
    this.#timer = this.#parts.runtime.environment.timers.set(
      () => this.#parts.overdue.begin(() => this.#abandon(error)),
      graceMs,
    );
  }

  #abandon(error: WaybillError): void {
    const { route, runtime, overdue } = this.#parts;
    // It ended while it waited to be given up.
    if (this.#isOver) return overdue.end();
    this.#isAbandoned = true;
    runtime.counters.of(route.contract.name).timedOut += 1;
    runtime.logger.error(
      `${route.handlerName} was given up ${graceMs} ms after its time was over, and still runs; ${overdue.running} such runs of it have not ended.`,
      { afterMs: this.#limit.afterMs },
    );
    this.#giveUp(error);
  }

  #end(): void {
    this.#isOver = true;
    this.#timer.cancel();
    if (this.#isAbandoned) this.#parts.overdue.end();
  }

  /** What a handler throws after its signal was aborted is a consequence. */
  #because(error: unknown): unknown {
    const { code, message, retryable, details } = this.#expired as WaybillError;
    return error === this.#expired
      ? error
      : new WaybillError(code, message, { retryable, details, cause: error });
  }
}

/** Resolves when the handler of a feed has ended, or a second later: then it is given up. */
export async function endOrOverdue(
  ending: Promise<unknown>,
  { contract, handlerName }: Pick<Route, "contract" | "handlerName">,
  { environment, counters, logger }: Pick<Runtime, "environment" | "counters" | "logger">,
): Promise<void> {
  if (await within(environment, ending, graceMs)) return;
  const overdue = counters.overdueOf(handlerName);
  const given = Promise.withResolvers<void>();
  let isGivenUp = false;
  let isOver = false;
  const ended = (): void => {
    isOver = true;
    if (isGivenUp) overdue.end();
    given.resolve();
  };
  ending.then(ended, ended);
  overdue.begin(() => {
    // It ended while it waited to be given up.
    if (isOver) return overdue.end();
    isGivenUp = true;
    counters.of(contract.name).timedOut += 1;
    logger.error(
      `${handlerName} was given up ${graceMs} ms after its caller had left, and still runs; ${overdue.running} such runs of it have not ended. Let it heed context.signal.`,
    );
    given.resolve();
  });
  await given.promise;
}

/** What is wrong with how a handler is limited, each a sentence. */
export function timeoutFaults({ verb, options }: Binding, where: string): readonly string[] {
  return verb === "serve" && options.timeoutMs !== undefined
    ? [`${where} says timeoutMs, and a feed runs as long as its caller reads it. Remove it.`]
    : [];
}
