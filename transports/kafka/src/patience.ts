import { type Environment, sleep } from "@waybill/core";
import { brokerError } from "./errors.ts";

export interface Patience {
  readonly environment: Environment;
  readonly doing: string;
  readonly patienceMs: number;
}

/** For looking into Kafka: partitions and groups have no leader for a moment when they are made or move. Less than who looks waits for an answer. */
export const lookPatienceMs = 4_000;

const [pauseMs, pauseMsMax] = [20, 1_000];

/** Tries again what may be tried again: a broker that just starts, a group whose keeper is being chosen. Rejects with the last error. */
export async function patiently<Answer>(
  { environment, doing, patienceMs }: Patience,
  attempt: () => Promise<Answer>,
): Promise<Answer> {
  const giveUpAt = environment.clock.monotonic() + patienceMs;
  for (let failed = 0; ; failed++) {
    try {
      return await attempt();
    } catch (thrown) {
      const error = brokerError(doing, thrown);
      if (!error.retryable || environment.clock.monotonic() >= giveUpAt) throw error;
      const jitter = 0.5 + environment.random();
      await sleep(environment.timers, Math.min(pauseMs * 2 ** failed, pauseMsMax) * jitter);
    }
  }
}
