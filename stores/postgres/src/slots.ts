import { type Environment, WaybillError } from "@waybill/core";

/** Who may have a connection; the others wait in the order of asking. */
export class Slots {
  readonly #environment: Environment;
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(count: number, environment: Environment) {
    this.#free = count;
    this.#environment = environment;
  }

  /** Error: STORAGE_BUSY after `waitMsMax`. */
  take(waitMsMax: number | undefined): Promise<void> {
    if (this.#free > 0) {
      this.#free -= 1;
      return Promise.resolve();
    }
    return new Promise<void>((resolve, reject) => {
      const limit =
        waitMsMax === undefined
          ? undefined
          : this.#environment.timers.set(() => {
              this.#waiting.splice(this.#waiting.indexOf(begin), 1);
              reject(
                new WaybillError(
                  "STORAGE_BUSY",
                  `A transaction waited ${waitMsMax} ms for a connection. Raise connectionsMax, or end transactions sooner.`,
                  { retryable: true },
                ),
              );
            }, waitMsMax);
      const begin = (): void => {
        limit?.cancel();
        resolve();
      };
      this.#waiting.push(begin);
    });
  }

  give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}
