import { type Environment, WaybillError, sleep } from "@waybill/core";
import { brokerError } from "./errors.ts";

export interface Attempted {
  /** When nothing is tried any more, on the monotonic clock. */
  readonly end: number;
  /** How it failed until now. */
  readonly failure: unknown;
}

const pauseMs = 200;

/** Tries again what a broken line or a server that restarts left undone. */
export class Patience {
  readonly #environment: Environment;
  readonly #closing = new AbortController();

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** When that much time will have passed. */
  end(inMs: number): number {
    return this.#environment.clock.monotonic() + inMs;
  }

  /** Each attempt is told how many milliseconds are left. Rejects with what the last one did, or with CLOSED. */
  async again<Result>(
    doing: string,
    { end, failure }: Attempted,
    attempt: (leftMs: number) => Promise<Result>,
  ): Promise<Result> {
    const { clock, timers } = this.#environment;
    let thrown = failure;
    for (;;) {
      const error = brokerError(doing, thrown);
      const leftMs = end - clock.monotonic() - pauseMs;
      if (!error.retryable || error.code !== "TRANSPORT_FAILED" || leftMs <= 0) throw error;
      await sleep(timers, pauseMs, this.#closing.signal).catch((cause: unknown) => {
        throw new WaybillError("CLOSED", `The bus was closed. Before, ${error.message}`, { cause });
      });
      try {
        return await attempt(leftMs);
      } catch (again) {
        thrown = again;
      }
    }
  }

  /** What still waits is given up. */
  close(): void {
    this.#closing.abort();
  }
}
