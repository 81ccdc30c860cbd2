import type { Environment } from "./ports/environment.ts";

/** Waits for work that never rejects, but no longer than `deadlineMs`. Answers whether it ended. */
export function within(
  environment: Environment,
  work: Promise<unknown>,
  deadlineMs: number,
): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = environment.timers.set(() => resolve(false), Math.max(0, deadlineMs));
    const ended = (): void => {
      timer.cancel();
      resolve(true);
    };
    work.then(ended, ended);
  });
}
