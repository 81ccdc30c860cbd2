import { systemEnvironment } from "./environment/system.ts";

/** What ended the wait: one of the two signals, or whoever aborted it. */
export type Termination = "SIGINT" | "SIGTERM" | "aborted";

/**
 * Resolves with the first SIGINT or SIGTERM, so that a `main.ts` can end by falling out of its scope. A program that
 * also ends for other reasons passes a signal of its own and aborts it then; that ends the wait, not with an error.
 *
 * @example
 * await using bus = await connect({ transport, services: [ordering] });
 * await terminated(); // the bus then closes in order
 */
export function terminated(signal?: AbortSignal): Promise<Termination> {
  return new Promise((resolve) => {
    const end = (termination: Termination): void => {
      process.off("SIGINT", end);
      process.off("SIGTERM", end);
      signal?.removeEventListener("abort", onAbort);
      awake?.cancel();
      resolve(termination);
    };
    const onAbort = (): void => end("aborted");
    // Waiting for a signal is a reason to live, whatever else there is.
    const awake = systemEnvironment.keepAlive?.();
    process.on("SIGINT", end);
    process.on("SIGTERM", end);
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
  });
}
