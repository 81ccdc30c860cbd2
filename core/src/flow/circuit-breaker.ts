import { messageOf } from "../errors.ts";
import type { Timer } from "../ports/environment.ts";
import { addressOf } from "../ports/transport.ts";
import type { Intake, Route } from "../wiring/route.ts";
import { type Runtime, runtimeOf } from "../runtime.ts";
import { type FailureKind, judge, mayRetry } from "../handling/taxonomy.ts";
import { type CircuitPolicy, type CircuitState, circuitPolicy } from "./circuit-options.ts";
import { Sample } from "./sample.ts";

/** A circuit as `health()` shows it. */
export interface CircuitHealth {
  readonly address: string;
  /** closed: all is well. open: nothing is taken. halfOpen: one message at a time is tried. */
  readonly state: CircuitState;
  /** Since when it has this state, milliseconds since 1970. */
  readonly since: number;
  /** When the next probe may begin; only while it is open. */
  readonly until?: number;
  /** The failure that opened it; absent while it is closed. */
  readonly reason?: string;
}

/** The listener whose intake follows the circuit. */
export interface CircuitSide {
  /** Intake ends, and what has not begun goes back untouched. */
  holdBack(): void;
  /** Intake goes on. */
  letIn(): void;
}

/**
 * Watches the runs of one address's handlers. Open, nothing begins and nothing is held; half-open, one message at a time begins
 * until one succeeds or fails; closed, all go. A run whose failure tells only of its message counts as neither.
 */
export class CircuitBreaker {
  readonly address: string;
  readonly #policy: CircuitPolicy;
  readonly #runtime: Runtime;
  readonly #sample: Sample;
  #side: CircuitSide | undefined;
  #state: CircuitState = "closed";
  #since: number;
  #until = 0;
  #reason = "";
  #inARow = 0;
  /** A throttled error asked for no calls before this moment of the monotonic clock. */
  #throttledUntil = 0;
  #breakMs: number;
  #probe: unknown;
  #timer: Timer | undefined;
  #isOver = false;

  constructor(address: string, policy: CircuitPolicy, runtime: Runtime) {
    this.address = address;
    this.#policy = policy;
    this.#runtime = runtime;
    this.#sample = new Sample(policy.samplingMs);
    this.#since = runtime.environment.clock.now();
    this.#breakMs = policy.breakMs;
  }

  attach(side: CircuitSide): void {
    this.#side = side;
  }

  get mayBegin(): boolean {
    return this.#state === "closed" || (this.#state === "halfOpen" && this.#probe === undefined);
  }

  /** `run` names what begins. */
  began(run: unknown): void {
    if (this.#state === "halfOpen") this.#probe ??= run;
  }

  /** It is over; if it was the probe and told nothing, the next one is. */
  ended(run: unknown): void {
    if (this.#probe === run) this.#probe = undefined;
  }

  succeeded(run: unknown): void {
    if (this.#state === "halfOpen") {
      if (this.#probe === run) this.#close();
      return;
    }
    if (this.#state === "open") return;
    this.#inARow = 0;
    this.#count(false);
  }

  failed(run: unknown, error: unknown): void {
    const { kind, afterMs = 0 } = judge(error);
    if (this.#isOver || !counts(kind)) return;
    if (afterMs > 0) this.#throttledUntil = Math.max(this.#throttledUntil, this.#now() + afterMs);
    if (this.#state === "halfOpen") {
      if (this.#probe !== run) return;
      this.#breakMs = Math.min(this.#breakMs * 2, this.#policy.breakMsMax);
      return this.#open(error);
    }
    if (this.#state === "open") return;
    this.#inARow += 1;
    this.#count(true);
    if (this.#isTooMuch()) this.#open(error);
  }

  health(): CircuitHealth {
    return {
      address: this.address,
      state: this.#state,
      since: this.#since,
      ...(this.#state === "open" && { until: this.#until }),
      ...(this.#state !== "closed" && { reason: this.#reason }),
    };
  }

  /** The bus closes: no more probes. */
  end(): void {
    this.#isOver = true;
    this.#timer?.cancel();
    if (this.#state !== "closed") this.#change("closed");
  }

  #count(failed: boolean): void {
    if (this.#policy.consecutiveFailures === undefined) this.#sample.add(failed, this.#now());
  }

  #isTooMuch(): boolean {
    const { consecutiveFailures, failureRatio, minimumThroughput } = this.#policy;
    if (consecutiveFailures !== undefined) return this.#inARow >= consecutiveFailures;
    const { failures, runs } = this.#sample;
    return runs >= minimumThroughput && failures >= failureRatio * runs;
  }

  #open(error: unknown): void {
    const { clock, timers } = this.#runtime.environment;
    const pauseMs = Math.max(this.#breakMs, this.#throttledUntil - this.#now());
    this.#reason = messageOf(error).slice(0, reasonMax);
    this.#until = clock.now() + pauseMs;
    this.#probe = undefined;
    this.#change("open");
    this.#runtime.logger.warn(
      `The circuit of "${this.address}" is open: nothing is taken for ${pauseMs} ms, then one message is tried. The last failure: ${this.#reason}`,
      { address: this.address, pauseMs },
    );
    this.#timer = timers.set(() => this.#halfOpen(), pauseMs);
    this.#side?.holdBack();
  }

  #halfOpen(): void {
    this.#change("halfOpen");
    this.#runtime.logger.info(
      `The circuit of "${this.address}" is half open: one message is tried.`,
    );
    this.#side?.letIn();
  }

  #close(): void {
    this.#probe = undefined;
    this.#sample.clear();
    this.#inARow = 0;
    this.#breakMs = this.#policy.breakMs;
    this.#change("closed");
    this.#runtime.logger.info(
      `The circuit of "${this.address}" is closed: messages are taken again.`,
    );
  }

  #change(state: CircuitState): void {
    this.#runtime.telemetry?.circuit(this.address, this.#state, state);
    this.#state = state;
    this.#since = this.#runtime.environment.clock.now();
  }

  #now(): number {
    return this.#runtime.environment.clock.monotonic();
  }
}

/** One for each address with a handler that has one. */
export function circuitBreakers(
  intakes: readonly Intake[],
  runtime: Runtime,
): ReadonlyMap<string, CircuitBreaker> {
  const breakers = new Map<string, CircuitBreaker>();
  for (const intake of intakes) {
    const address = addressOf(intake.source);
    const policy = circuitOf(intake);
    const [route] = intake.routes;
    if (policy === undefined || route === undefined) continue;
    const own = runtimeOf(runtime, route.contract);
    breakers.set(address, new CircuitBreaker(address, policy, own));
  }
  return breakers;
}

/** Of handlers that share an address the first that says one decides for all. */
export function circuitOf({ routes }: Intake): CircuitPolicy | undefined {
  const options = routes.find(isBroken)?.options.circuitBreaker;
  return options === undefined ? undefined : circuitPolicy(options);
}

/** What `connect({ handlers })` says is not for calls, which are answered with their error, nor for batches. */
function isBroken({ binding: { verb }, batch, options }: Route): boolean {
  const isSingle = verb !== "answer" && verb !== "serve" && batch === undefined;
  return isSingle && options.circuitBreaker !== undefined;
}

const reasonMax = 300;

/** Whether a failure of this kind tells of what the handler needs, and not of its message. */
function counts(kind: FailureKind): boolean {
  return mayRetry(kind) || kind === "unauthorised";
}

/** Why an address is not up, a sentence where it is not. */
export function openInWords({
  address,
  state,
  since,
  until,
  reason,
}: CircuitHealth): readonly string[] {
  if (state === "closed") return [];
  const begun = new Date(since).toISOString();
  return until === undefined
    ? [`${address}: the circuit is half open since ${begun}, one message is tried: ${reason}`]
    : [
        `${address}: the circuit is open since ${begun} until ${new Date(until).toISOString()}: ${reason}`,
      ];
}
