import { WaybillError } from "@waybill/core";
import type { Channel } from "amqplib";
import { ended } from "./ending.ts";
import { brokerError } from "./errors.ts";
import type { Link } from "./link.ts";

/** A channel of its own for each question: what the broker refuses ends it. */
export class ShortChannels {
  readonly #link: Link;

  constructor(link: Link) {
    this.#link = link;
  }

  async on<Result>(
    work: (channel: Channel) => Promise<Result>,
    doing = "Asking RabbitMQ",
  ): Promise<Result> {
    let channel: Channel | undefined;
    try {
      channel = await (await this.#link.model()).createChannel();
      channel.on("error", () => undefined);
      return await work(channel);
    } catch (error) {
      throw brokerError(doing, error);
    } finally {
      if (channel !== undefined) await ended(channel);
    }
  }

  hasExchange(name: string): Promise<boolean> {
    return this.#isThere((channel) => channel.checkExchange(name));
  }

  hasQueue(name: string): Promise<boolean> {
    return this.#isThere((channel) => channel.checkQueue(name));
  }

  async #isThere(check: (channel: Channel) => Promise<unknown>): Promise<boolean> {
    try {
      await this.on(check);
      return true;
    } catch (error) {
      if (error instanceof WaybillError && error.code === "NOT_FOUND") return false;
      throw error;
    }
  }
}
