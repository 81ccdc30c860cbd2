import { setTimeout as pause } from "node:timers/promises";
import {
  type Logger,
  type Transport,
  type TransportFactory,
  systemEnvironment,
} from "@waybill/core";
import type { ChaosSubject } from "@waybill/testkit";
import { clean } from "./cleaning.test.support.ts";
import { makeByHand } from "./by-hand.test.support.ts";
import { type NatsOptions, nats } from "./index.ts";

export const port = 4222;
const host = `127.0.0.1:${port}`;

/** A corner of the server that tests share: streams of its own, removed at the end. */
export class Corner implements AsyncDisposable {
  readonly prefix: string = `test-${systemEnvironment.id().replaceAll("-", "").slice(-12)}`;

  factory(options: Partial<NatsOptions> = {}): TransportFactory {
    return nats({ url: `nats://${host}`, prefix: this.prefix, ...options });
  }

  /** For `connect`. */
  get options(): { readonly transport: TransportFactory; readonly logger: Logger } {
    return { transport: this.factory(), logger: silent };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await clean(host, this.prefix);
  }
}

export function subject(): ChaosSubject {
  const corner = new Corner();
  return {
    factory: corner.factory(),
    target: { port },
    through: (by) => corner.factory({ url: `nats://127.0.0.1:${by}`, pingIntervalMs: 900 }),
    prepare: (topology) => makeByHand(host, topology, corner.prefix),
    dispose: () => corner[Symbol.asyncDispose](),
  };
}

const ignore = (): void => undefined;
const silent: Logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** Another process's connection, without a bus. */
export function open(factory: TransportFactory): Promise<Transport> {
  return factory.open({
    environment: systemEnvironment,
    logger: silent,
    instance: "test",
    unrouted: ignore,
  });
}

/** Waits until the condition holds; fails with its text after so many milliseconds. */
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
