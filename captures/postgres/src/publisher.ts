import { type CaptureHost, type Outgoing, WaybillError, sleep } from "@waybill/core";
import { messageOf } from "@waybill/core/adapter";

const pauseMsFirst = 100;
const pauseMsMost = 10_000;

/** Hands batches to the broker, one after another, until it has confirmed each. */
export class Publisher {
  readonly #host: CaptureHost;
  readonly #name: string;
  published = 0;
  /** Why the broker does not take the batch at hand. */
  trouble: { readonly words: string; readonly isLasting: boolean } | undefined;

  constructor(host: CaptureHost, name: string) {
    this.#host = host;
    this.#name = name;
  }

  /** Resolves when all is confirmed. Rejects only with the signal's reason: nothing is passed over. */
  async deliver(batch: readonly Outgoing[], signal: AbortSignal): Promise<void> {
    const { environment, logger } = this.#host;
    for (let pauseMs = pauseMsFirst; ; pauseMs = Math.min(pauseMs * 2, pauseMsMost)) {
      signal.throwIfAborted();
      try {
        await this.#host.deliver(batch);
        if (this.trouble !== undefined) logger.info(`${this.#name} publishes again.`);
        this.trouble = undefined;
        this.published += batch.length;
        return;
      } catch (error) {
        const words = `${this.#name}: the broker does not take ${batch.length} messages: ${messageOf(error)}`;
        if (this.trouble === undefined) logger.warn(`${words} The log waits; it is tried again.`);
        this.trouble = { words, isLasting: error instanceof WaybillError && !error.retryable };
      }
      await sleep(environment.timers, pauseMs * (0.5 + environment.random() / 2), signal);
    }
  }
}
