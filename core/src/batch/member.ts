import type { Ending, Entry } from "../handling/entry.ts";
import { HandlerContext } from "../handling/handler-context.ts";
import type { Incoming, Joining } from "../handling/message.ts";
import type { Outcome } from "../handling/outcome.ts";
import type { Incomer } from "../handling/pipeline.ts";
import type { Runtime } from "../runtime.ts";
import type { Speech } from "../speaking/speech.ts";
import { isThenable } from "../thenable.ts";

/** Thrown into the pipeline of a message that stands behind a failed one of its key: nothing is settled, it runs again after that. */
export const heldBack: Error = Object.freeze(
  new Error("A message before it in its order failed; it runs again after that one."),
);

/** Thrown into the pipeline of a message whose batch runs again: it is decoded anew. */
const runAgain: Error = Object.freeze(
  new Error("Its batch failed; it runs again in a smaller one."),
);

/** The innermost step of a batch handler: waits for what the batch decides. */
export function joinBatch(speech: Speech, runtime: Runtime): Incomer {
  return (message) => {
    message.context = new HandlerContext(message, speech, runtime);
    return (message.lifetime.member as Joining).join(message);
  };
}

/** The step `retry` of a batch handler: when to run again is decided by the batch. */
export function runAgainInBatch(next: Incomer): Incomer {
  const run = (message: Incoming): Outcome | Promise<Outcome> => {
    const outcome = next(message);
    if (!isThenable(outcome)) return outcome;
    return Promise.resolve(outcome).catch((error: unknown) => {
      if (error !== runAgain) throw error;
      message.held = [];
      return run(message);
    });
  };
  return run;
}

export interface MemberOptions {
  readonly entry: Entry;
  readonly bytes: number;
  /** Monotonic milliseconds. */
  readonly arrivedAt: number;
}

/** One message between its arrival and its end: on one side the listener waits for it, on the other its pipeline runs. */
export class Member implements Joining {
  readonly entry: Entry;
  readonly bytes: number;
  readonly arrivedAt: number;
  /** What the listener waits for. */
  readonly ended: Promise<Ending>;
  /** Its pipeline has ended, by itself or by what the batch decided. */
  hasEnded = false;
  /** How, unless it threw. */
  ending: Outcome | undefined;
  /** Set when it has joined. */
  message: Incoming | undefined;
  readonly #end: PromiseWithResolvers<Ending>;
  #arrived: PromiseWithResolvers<void> | undefined;
  #verdict: PromiseWithResolvers<Outcome> | undefined;
  #settled: Promise<Outcome> | undefined;

  constructor({ entry, bytes, arrivedAt }: MemberOptions) {
    this.entry = entry;
    this.bytes = bytes;
    this.arrivedAt = arrivedAt;
    this.#end = Promise.withResolvers();
    this.ended = this.#end.promise;
  }

  /** Messages of one lane keep their order; undefined for no lane. */
  get lane(): string | undefined {
    return this.entry.lane;
  }

  /** A place in the order in which messages came. */
  get order(): number {
    return this.entry.order ?? 0;
  }

  /** Runs alone: its last delivery ended without a word or took too long, and it may be why. */
  get isSuspect(): boolean {
    const { attempt, failure } = this.entry;
    const isSilent = failure?.attempts !== attempt - 1;
    return attempt > 1 && (isSilent || failure.reason === "HANDLER_TIMED_OUT");
  }

  get isRetried(): boolean {
    return this.entry.attempt > 1;
  }

  /** Begins its pipeline. Resolves when it has joined, or has ended before. */
  begin(run: (entry: Entry) => Outcome | Promise<Outcome>): Promise<void> {
    this.entry.member = this;
    this.hasEnded = false;
    this.ending = undefined;
    this.message = undefined;
    const arrived = Promise.withResolvers<void>();
    this.#arrived = arrived;
    this.#settled = this.#run(run);
    // Its end is told by `end`; an error by then is the listener's.
    this.#settled.then(
      () => arrived.resolve(),
      () => arrived.resolve(),
    );
    return arrived.promise;
  }

  join(message: Incoming): Promise<Outcome> {
    this.message = message;
    this.#verdict = Promise.withResolvers();
    this.#arrived?.resolve();
    return this.#verdict.promise;
  }

  /** Joins anew, decoded and validated again. Resolves as `begin`. */
  again(): Promise<void> {
    const arrived = Promise.withResolvers<void>();
    this.#arrived = arrived;
    this.message?.context?.close();
    this.#settled?.then(
      () => arrived.resolve(),
      () => arrived.resolve(),
    );
    this.#verdict?.reject(runAgain);
    return arrived.promise;
  }

  /** Resolves when it is settled, or waits in its place for its next attempt. */
  decide(outcome: Outcome): Promise<void> {
    this.#verdict?.resolve(outcome);
    return this.finish();
  }

  fail(error: unknown): Promise<void> {
    this.#verdict?.reject(error);
    return this.finish();
  }

  /** Leaves its pipeline unsettled, to begin again. */
  async holdBack(): Promise<void> {
    this.#verdict?.reject(heldBack);
    await this.#settled?.catch(() => undefined);
  }

  /** Tells the listener how its pipeline ended; what that threw is the listener's to report. */
  async finish(): Promise<void> {
    try {
      this.end(await this.#settled);
    } catch (error) {
      this.#end.reject(error);
    }
  }

  /** An error of ours: the listener reports it and gives the message back. */
  crash(error: unknown): void {
    this.#end.reject(error);
  }

  /** Ends it for the listener. */
  end(ending: Ending): void {
    this.#end.resolve(ending);
  }

  async #run(run: (entry: Entry) => Outcome | Promise<Outcome>): Promise<Outcome> {
    try {
      this.ending = await run(this.entry);
      return this.ending;
    } finally {
      this.hasEnded = true;
    }
  }
}
