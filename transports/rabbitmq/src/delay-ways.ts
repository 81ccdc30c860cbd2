import { type Topology, WaybillError } from "@waybill/core";
import { Delays, delayMsMax } from "./delays.ts";
import type { OutboundParts } from "./outbound.ts";
import type { Plan } from "./plan.ts";
import type { Target, Way } from "./topology.ts";

/** The ways by which delayed messages go, made on the server when they are needed, and again when somebody has deleted them. */
export class DelayWays {
  readonly #parts: Pick<OutboundParts, "names" | "ask" | "exists">;
  readonly #delays: Delays;
  #isGiven = false;

  constructor(parts: Pick<OutboundParts, "names" | "ask" | "exists">) {
    this.#parts = parts;
    this.#delays = new Delays(parts.names);
  }

  /** Everything in the plan is there, and nothing more is to be made. */
  assume({ delayed }: Plan): void {
    this.#isGiven = true;
    this.#delays.assume(delayed);
  }

  /** Others may have deleted what was there. */
  forget(): void {
    this.#delays.forget();
  }

  /** Exchange and routing key by which a message reaches the target so much later. Throws NOT_SUPPORTED for longer than can be waited. */
  async to(delayMs: number, target: Target): Promise<Way> {
    if (delayMs > delayMsMax)
      throw new WaybillError(
        "NOT_SUPPORTED",
        `A delay of ${delayMs} ms is longer than the ${delayMsMax} ms that RabbitMQ's delay queues reach.`,
      );
    await this.#parts.ask((channel) => this.#delays.prepare(channel, delayMs, target), "Delaying");
    return this.#delays.way(delayMs, target);
  }

  /** Somebody may have deleted what delays wait in: then it is made again, once. */
  async mended<Result>(
    isDelayed: boolean,
    work: (isAgain: boolean) => Promise<Result>,
  ): Promise<Result> {
    try {
      return await work(false);
    } catch (error) {
      if (!isDelayed || !(error instanceof WaybillError) || error.code !== "UNROUTABLE")
        throw error;
      this.#delays.forget();
      return work(true);
    }
  }

  /** Queues that were made again: what still waits, and what others will delay, reaches them again. */
  async rebind({ queues, subscriptions }: Topology): Promise<void> {
    const { names, ask, exists } = this.#parts;
    this.#delays.forget();
    if (this.#isGiven || !(await exists(names.due))) return;
    const all = [
      ...queues.map(({ name }) => names.queue(name)),
      ...subscriptions.map(({ topic, name }) => names.subscription(topic, name)),
    ];
    await ask(async (channel) => {
      for (const queue of all) await this.#delays.bind(channel, names.targetQueue(queue));
    }, "Binding");
  }
}
