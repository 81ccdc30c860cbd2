import type { Environment, Settled } from "@waybill/core";
import type { Channel } from "amqplib";
import type { Acknowledgements } from "./acknowledgements.ts";
import type { AmqpDelivery } from "./delivery.ts";

export interface GivingBackParts {
  readonly environment: Environment;
  readonly acknowledgements: Acknowledgements;
  readonly isCurrent: (channel: Channel) => boolean;
  /** Writes down that they were not touched. Never rejects. */
  readonly note: (deliveries: readonly AmqpDelivery[]) => Promise<void>;
}

interface Leaving {
  readonly delivery: AmqpDelivery;
  readonly resolve: (settled: Settled) => void;
}

/** What goes back untouched: what one turn gives back goes together, in the order in which it came, once it is written down. */
export class GivingBack {
  readonly #parts: GivingBackParts;
  #leaving: Leaving[] = [];
  #last: Promise<void> = Promise.resolve();

  constructor(parts: GivingBackParts) {
    this.#parts = parts;
  }

  /** Resolves when all that was to go back has gone. */
  get done(): Promise<void> {
    return this.#last;
  }

  add(delivery: AmqpDelivery): Promise<Settled> {
    return new Promise((resolve) => {
      this.#leaving.push({ delivery, resolve });
      if (this.#leaving.length > 1) return;
      const { promise, resolve: begin } = Promise.withResolvers<void>();
      this.#parts.environment.timers.soon(begin);
      this.#last = Promise.all([this.#last, promise]).then(() => this.#leave());
    });
  }

  async #leave(): Promise<void> {
    const leaving = inOrder(this.#leaving.splice(0));
    const { acknowledgements, isCurrent, note } = this.#parts;
    await note(leaving.map(({ delivery }) => delivery));
    for (const { delivery, resolve } of leaving)
      // The end of its channel has given it back.
      try {
        if (!isCurrent(delivery.channel)) resolve("settled");
        else void acknowledgements.giveBack(delivery.channel, delivery.message).then(resolve);
      } catch {
        resolve("settled");
      }
  }
}

function inOrder(leaving: readonly Leaving[]): readonly Leaving[] {
  return leaving.toSorted(
    ({ delivery: one }, { delivery: other }) =>
      one.message.fields.deliveryTag - other.message.fields.deliveryTag,
  );
}
