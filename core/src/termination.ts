/**
 * Resolves with the first SIGINT or SIGTERM, so that a `main.ts` can end by falling out of its scope:
 *
 * @example
 * await using bus = await connect({ transport, services: [ordering] });
 * await terminated(); // the bus then closes in order
 */
export function terminated(signal?: AbortSignal): Promise<"SIGINT" | "SIGTERM"> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      process.off("SIGINT", onInterrupt);
      process.off("SIGTERM", onTerminate);
      clearInterval(awake);
    };
    const onInterrupt = (): void => {
      end();
      resolve("SIGINT");
    };
    const onTerminate = (): void => {
      end();
      resolve("SIGTERM");
    };
    // A bus that only listens keeps no handle of its own, so waiting for a signal has to keep the process.
    const awake = setInterval(() => undefined, 2 ** 30);
    process.on("SIGINT", onInterrupt);
    process.on("SIGTERM", onTerminate);
    signal?.addEventListener(
      "abort",
      () => {
        end();
        reject(signal.reason as Error);
      },
      { once: true },
    );
  });
}
