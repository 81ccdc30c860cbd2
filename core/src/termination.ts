import { systemEnvironment } from "./environment/system.ts";

/**
 * Resolves with the first SIGINT or SIGTERM, so that a `main.ts` can end by falling out of its scope:
 *
 * @example
 * await using bus = await connect({ transport, services: [ordering] });
 * await terminated(); // the bus then closes in order
 */
export function terminated(signal?: AbortSignal): Promise<"SIGINT" | "SIGTERM"> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const end = (): void => {
      process.off("SIGINT", onInterrupt);
      process.off("SIGTERM", onTerminate);
      awake?.cancel();
      signal?.removeEventListener("abort", onAbort);
    };
    const onInterrupt = (): void => {
      end();
      resolve("SIGINT");
    };
    const onTerminate = (): void => {
      end();
      resolve("SIGTERM");
    };
    const onAbort = (): void => {
      end();
      reject(signal?.reason as Error);
    };
    // Waiting for a signal is a reason to live, whatever else there is.
    const awake = systemEnvironment.keepAlive?.();
    process.on("SIGINT", onInterrupt);
    process.on("SIGTERM", onTerminate);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
