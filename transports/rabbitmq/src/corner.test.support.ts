import { setTimeout as pause } from "node:timers/promises";
import {
  type Logger,
  type TransportFactory,
  type TransportHost,
  systemEnvironment,
} from "@waybill/core";
import { Cleaning } from "./cleaning.test.support.ts";
import { type RabbitmqOptions, rabbitmq } from "./index.ts";
import { url } from "./subject.test.support.ts";
import { Names } from "./topology.ts";

/** A corner of the server that tests share: names of its own, removed at the end. */
export class Corner implements AsyncDisposable {
  readonly #prefix = `test-${systemEnvironment.id().replaceAll("-", "").slice(-12)}`;
  readonly #cleaning = new Cleaning(url, this.#prefix);
  /** Warnings and errors of every bus here. */
  readonly log: string[] = [];

  name(word: string): string {
    return `${this.#prefix}.${word}`;
  }

  factory(options: Partial<RabbitmqOptions> = {}): TransportFactory {
    return this.#cleaning.watch(rabbitmq({ url, system: this.#prefix, ...options }));
  }

  /** For `connect`. */
  get options(): { readonly transport: TransportFactory; readonly logger: Logger } {
    return { transport: this.factory(), logger: this.logger };
  }

  /** For a transport without a bus. */
  get host(): TransportHost {
    const ignore = (): void => undefined;
    return {
      environment: systemEnvironment,
      logger: this.logger,
      instance: "test",
      unrouted: ignore,
    };
  }

  /** Whose addresses are told together. */
  get system(): string {
    return this.#prefix;
  }

  /** The log of the addresses that were declared here. */
  get registry(): string {
    return new Names("", this.#prefix).registry;
  }

  get logger(): Logger {
    const take = (message: string): void => void this.log.push(message);
    return { debug: () => undefined, info: () => undefined, warn: take, error: take };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cleaning.clean();
  }
}

/** Waits until the condition holds; fails with its text after so many milliseconds, which a machine that is cold and busy has not used up. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  patienceMs = 60_000,
): Promise<void> {
  const giveUpAt = performance.now() + patienceMs;
  while (!(await condition())) {
    if (performance.now() > giveUpAt) throw new Error(`never happened: ${what}`);
    await pause(5);
  }
}
