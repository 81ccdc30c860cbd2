import type { Environment, Timer, WaybillError } from "@waybill/core";
import type { Channel, ConfirmChannel } from "amqplib";
import { brokerError } from "./errors.ts";
import type { Link } from "./link.ts";

export interface Keeping<Kind extends Channel> {
  /** For errors: "Receiving from orders". */
  readonly doing: string;
  readonly link: Link;
  readonly environment: Environment;
  readonly open: (link: Link) => Promise<Kind>;
  /** Makes a new channel ready. When it rejects, the channel is given up and another is tried. */
  readonly ready: (channel: Kind) => Promise<void>;
  /** The channel is `current` now: for what was asked for while it was made ready. */
  readonly opened?: (channel: Kind) => void;
  /** The channel is gone, with everything that was not answered on it; with the broker's complaint, where it had one. */
  readonly lost: (channel: Kind, complaint: WaybillError | undefined) => void;
  /** What is tried again is told. */
  readonly fault: (error: WaybillError) => void;
}

const pauseMs = 500;

/** A channel that is opened again whenever it or its connection ends, until it is closed. */
export class KeptChannel<Kind extends Channel> {
  readonly #keeping: Keeping<Kind>;
  #channel: Kind | undefined;
  #timer: Timer | undefined;
  #closed = false;

  constructor(keeping: Keeping<Kind>) {
    this.#keeping = keeping;
  }

  /** The channel, while there is one. */
  get current(): Kind | undefined {
    return this.#channel;
  }

  start(): void {
    void this.#open();
  }

  /** Ends the channel; another is opened. */
  async renew(): Promise<void> {
    if (this.#channel !== undefined) await closed(this.#channel);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    const channel = this.#channel;
    this.#channel = undefined;
    if (channel !== undefined) await closed(channel);
  }

  async #open(): Promise<void> {
    const { doing, link, open, ready, opened, fault, lost } = this.#keeping;
    try {
      const channel = await open(link);
      if (this.#closed) return await closed(channel);
      let over = false;
      let refused: Error | undefined;
      channel.on("error", (error: Error) => (refused = error));
      channel.on("close", () => {
        over = true;
        const had = this.#channel === channel;
        if (had) this.#channel = undefined;
        const complaint = refused === undefined ? undefined : brokerError(doing, refused);
        lost(channel, complaint);
        if (!had || this.#closed) return;
        if (complaint !== undefined) fault(complaint);
        this.#again(refused === undefined ? 0 : pauseMs);
      });
      await ready(channel);
      if (over) throw refused ?? new Error("the channel ended");
      if (this.#closed) return await closed(channel);
      this.#channel = channel;
      opened?.(channel);
    } catch (error) {
      if (this.#closed) return;
      fault(brokerError(doing, error));
      this.#again(pauseMs);
    }
  }

  #again(delayMs: number): void {
    this.#timer = this.#keeping.environment.timers.set(() => {
      if (!this.#closed) void this.#open();
    }, delayMs);
  }
}

async function closed(channel: Channel): Promise<void> {
  await channel.close().catch(() => undefined);
}

export const plainChannel = async (link: Link): Promise<Channel> =>
  (await link.model()).createChannel();

export const confirmChannel = async (link: Link): Promise<ConfirmChannel> =>
  (await link.model()).createConfirmChannel();
