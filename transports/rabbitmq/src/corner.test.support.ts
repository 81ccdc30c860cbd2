import { setTimeout as pause } from "node:timers/promises";
import { type Logger, type TransportFactory, systemEnvironment } from "@waybill/core";
import { Cleaning } from "./cleaning.test.support.ts";
import { type RabbitmqOptions, rabbitmq } from "./index.ts";
import { url } from "./subject.test.support.ts";

/** A corner of the server that tests share: names of its own, removed at the end. */
export class Corner implements AsyncDisposable {
  readonly #cleaning = new Cleaning(url);
  readonly #prefix = `test-${systemEnvironment.id().replaceAll("-", "").slice(-12)}`;
  /** Warnings and errors of every bus here. */
  readonly log: string[] = [];

  name(word: string): string {
    return `${this.#prefix}.${word}`;
  }

  factory(options: Partial<RabbitmqOptions> = {}): TransportFactory {
    return this.#cleaning.watch(rabbitmq({ url, ...options }));
  }

  /** For `connect`. */
  get options(): { readonly transport: TransportFactory; readonly logger: Logger } {
    return { transport: this.factory(), logger: this.logger };
  }

  get logger(): Logger {
    const take = (message: string): void => void this.log.push(message);
    return { debug: () => undefined, info: () => undefined, warn: take, error: take };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cleaning.clean();
  }
}

/** Waits until the condition holds; fails with its text after so many milliseconds. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  patienceMs = 15_000,
): Promise<void> {
  const giveUpAt = performance.now() + patienceMs;
  while (!(await condition())) {
    if (performance.now() > giveUpAt) throw new Error(`never happened: ${what}`);
    await pause(5);
  }
}
