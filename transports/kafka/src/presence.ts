import type { Environment, Timer } from "@waybill/core";
import type { Registry } from "./registry.ts";

export interface PresenceParts {
  readonly registry: Registry;
  readonly environment: Environment;
  readonly instance: string;
  /** Removes a temporary subscription with everything that is its own. */
  readonly remove: (topic: string, name: string) => Promise<void>;
}

const sayMs = 5 * 60 * 1_000;
/** Who has said nothing for so long has crashed. */
export const forgottenMs: number = 4 * sayMs;

/** Says from time to time that what ends with this process still lives, and removes what crashed processes left. */
export class Presence {
  readonly #parts: PresenceParts;
  #timer: Timer | undefined;
  #ended = false;

  constructor(parts: PresenceParts) {
    this.#parts = parts;
  }

  /** This process has something temporary. */
  begin(): void {
    if (this.#timer !== undefined || this.#ended) return;
    this.#rest();
    void this.#sweep().catch(() => undefined);
  }

  close(): void {
    this.#ended = true;
    this.#timer?.cancel();
  }

  #rest(): void {
    const say = (): void => {
      const { registry, instance } = this.#parts;
      void registry.renew(instance).catch(() => undefined);
      if (!this.#ended) this.#rest();
    };
    this.#timer = this.#parts.environment.timers.set(say, sayMs);
  }

  async #sweep(): Promise<void> {
    const { registry, environment, remove } = this.#parts;
    const lastSaid = environment.clock.now() - forgottenMs;
    await registry.refresh();
    for (const { name, at } of registry.temporaryQueues())
      if (at < lastSaid) await registry.remove("queue", name);
    for (const { topic, name, endsWith, at } of registry.subscriptions())
      if (endsWith !== undefined && at < lastSaid) await remove(topic, name);
  }
}
