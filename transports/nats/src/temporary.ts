import { type Environment, type Topology, addressOf } from "@waybill/core";
import { asideStates } from "@waybill/core/adapter";
import { forgottenMs } from "./declare.ts";
import type { Link } from "./link.ts";
import type { Names, Place } from "./topology.ts";

export interface TemporaryParts {
  readonly link: Link;
  readonly names: Names;
  readonly environment: Environment;
}

/** What ends with this process. It removes it when it closes; of one that crashed, JetStream forgets the consumers, and others the empty streams. */
export class Temporary {
  readonly #parts: TemporaryParts;
  readonly #places = new Map<string, Place>();
  #swept = false;

  constructor(parts: TemporaryParts) {
    this.#parts = parts;
  }

  has(address: string): boolean {
    return this.#places.has(address);
  }

  async note({ queues, subscriptions }: Topology): Promise<void> {
    const { names } = this.#parts;
    for (const { name, temporary } of queues)
      if (temporary === true) this.#places.set(name, names.place({ kind: "queue", name }, true));
    for (const { topic, name, temporary } of subscriptions) {
      if (temporary !== true) continue;
      const source = { kind: "subscription", topic, name } as const;
      this.#places.set(addressOf(source), names.place(source, true));
    }
    if (this.#places.size === 0 || this.#swept) return;
    this.#swept = true;
    await this.#sweep();
  }

  async end(): Promise<void> {
    const { link, names } = this.#parts;
    const { streams, consumers } = link.jetstream;
    for (const { kind, stream, consumer, address } of this.#places.values()) {
      const ended = kind === "queue" ? streams.delete(stream) : consumers.delete(stream, consumer);
      // Where the connection is lost, it is forgotten by itself.
      await ended.catch(() => undefined);
      for (const state of asideStates)
        await streams.delete(names.asideStream(address, state)).catch(() => undefined);
    }
  }

  async #sweep(): Promise<void> {
    const { link, names, environment } = this.#parts;
    const { streams } = link.jetstream;
    for await (const name of streams.names()) {
      if (names.read(name)?.kind !== "temporary") continue;
      const info = await streams.info(name).catch(() => undefined);
      const isOld = environment.clock.now() - Date.parse(info?.created ?? "") > 2 * forgottenMs;
      if (isOld && info?.state.consumer_count === 0) await streams.delete(name).catch(() => false);
    }
  }
}
