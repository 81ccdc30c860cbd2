import { type Environment, sleep } from "@waybill/core";

/** Calls back after `delayMs`, and keeps the process alive until then: somebody awaits what comes after the pause. */
export function afterPause(environment: Environment, delayMs: number, callback: () => void): void {
  const alive = environment.keepAlive?.();
  environment.timers.set(() => {
    alive?.cancel();
    callback();
  }, delayMs);
}

/** As `sleep`, and keeps the process alive. */
export async function pause(environment: Environment, delayMs: number): Promise<void> {
  const alive = environment.keepAlive?.();
  try {
    await sleep(environment.timers, delayMs);
  } finally {
    alive?.cancel();
  }
}
