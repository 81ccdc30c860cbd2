import type { Outgoing, Transport } from "../ports/transport.ts";
import { Handles } from "./handles.ts";
import type { Broker, Homes } from "./homes.ts";

/** What a handler that reads from one broker reaches besides: the others. Only where kinds are split. */
export class Neighbours {
  /** All brokers as one. */
  readonly whole: Transport;
  readonly #own: Broker;
  readonly #homes: Homes;
  readonly #handles: Handles;

  constructor(whole: Transport, homes: Homes, own: Broker) {
    this.whole = whole;
    this.#own = own;
    this.#homes = homes;
    this.#handles = new Handles(homes);
  }

  /** The same handle among those of all brokers. */
  handleOf(own: string): string {
    return this.#handles.of(this.#own, own);
  }

  /**
   * Sends what goes over others, stored when it resolves, and answers what is left for this one. A crash before the settlement that follows
   * repeats it, nothing loses it.
   */
  async sendOthers(batch: readonly Outgoing[]): Promise<readonly Outgoing[]> {
    const isOwn = ({ to }: Outgoing): boolean => this.#homes.ofDestination(to) === this.#own;
    const others = batch.filter((outgoing) => !isOwn(outgoing));
    if (others.length === 0) return batch;
    await this.whole.send(others);
    return batch.filter(isOwn);
  }
}
