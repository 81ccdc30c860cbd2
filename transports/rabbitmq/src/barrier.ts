import type { Environment, ReceiveOptions, Settled } from "@waybill/core";
import type { Channel } from "amqplib";

/** RabbitMQ keeps the count of a channel's prefetch in 16 bits. */
const prefetchMax = 65_535;

export function prefetchOf({ prefetch }: Pick<ReceiveOptions, "prefetch">): number {
  return Math.min(prefetch, prefetchMax);
}

/** AMQP does not answer acknowledgements. A question on the same channel is answered after them: one for all that are under way. */
export class Barrier {
  readonly #environment: Environment;
  readonly #options: Pick<ReceiveOptions, "prefetch">;
  #open: { readonly channel: Channel; readonly passed: Promise<Settled> } | undefined;

  constructor(environment: Environment, options: Pick<ReceiveOptions, "prefetch">) {
    this.#environment = environment;
    this.#options = options;
  }

  /** What is still being asked. */
  get last(): Promise<Settled> | undefined {
    return this.#open?.passed;
  }

  passed(channel: Channel): Promise<Settled> {
    if (this.#open?.channel === channel) return this.#open.passed;
    const passed = new Promise<Settled>((resolve) =>
      this.#environment.timers.soon(() => {
        if (this.#open?.passed === passed) this.#open = undefined;
        // Any question will do; this one changes nothing.
        channel.prefetch(prefetchOf(this.#options)).then(
          () => resolve("settled"),
          () => resolve("unknown"),
        );
      }),
    );
    this.#open = { channel, passed };
    return passed;
  }
}
