import type { Environment, Timer, WaybillError } from "@waybill/core";
import type { Channel, ChannelModel, ConfirmChannel } from "amqplib";
import { ended } from "./ending.ts";
import { brokerError } from "./errors.ts";
import type { Link } from "./link.ts";

export interface Keeping<Kind extends Channel> {
  /** For errors: "Receiving from orders". */
  readonly doing: string;
  readonly link: Link;
  readonly environment: Environment;
  readonly open: (model: ChannelModel) => Promise<Kind>;
  /** Makes a new channel ready. When it rejects, the channel is ended and another is tried. */
  readonly ready: (channel: Kind) => Promise<void>;
  /** The channel is `current` now: for what was asked for while it was made ready. */
  readonly opened?: (channel: Kind) => void;
  /** The channel is gone, with everything that was not answered on it; with the broker's complaint, where it had one. */
  readonly lost: (channel: Kind, complaint: WaybillError | undefined) => void;
  /** What is tried again is told. */
  readonly fault: (error: WaybillError) => void;
}

/** How a channel ended, if it has. */
interface End {
  isOver: boolean;
  /** Why the server ended it, where it did. */
  refused: Error | undefined;
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
    if (this.#channel !== undefined) await ended(this.#channel);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    const channel = this.#channel;
    this.#channel = undefined;
    if (channel !== undefined) await ended(channel);
  }

  async #open(): Promise<void> {
    const { doing, link, open, ready, opened, fault } = this.#keeping;
    let channel: Kind | undefined;
    try {
      const model = await link.model();
      channel = await open(model);
      const end = this.#watch(channel);
      // What broke before anybody listened tells nobody any more.
      if (!link.has(model)) throw new Error("the connection ended");
      if (!this.#closed) await ready(channel);
      if (end.isOver) throw end.refused ?? new Error("the channel ended");
    } catch (error) {
      // It is over before there is another: answers that still came on it would be taken for those of the next one.
      if (channel !== undefined) await ended(channel);
      if (this.#closed) return;
      fault(brokerError(doing, error));
      return this.#again(pauseMs);
    }
    if (this.#closed) return ended(channel);
    this.#channel = channel;
    opened?.(channel);
  }

  #watch(channel: Kind): Readonly<End> {
    const { doing, fault, lost } = this.#keeping;
    const end: End = { isOver: false, refused: undefined };
    channel.on("error", (error: Error) => (end.refused = error));
    channel.on("close", () => {
      end.isOver = true;
      const { refused } = end;
      const had = this.#channel === channel;
      if (had) this.#channel = undefined;
      const complaint = refused === undefined ? undefined : brokerError(doing, refused);
      lost(channel, complaint);
      if (!had || this.#closed) return;
      if (complaint !== undefined) fault(complaint);
      this.#again(refused === undefined ? 0 : pauseMs);
    });
    return end;
  }

  #again(delayMs: number): void {
    this.#timer = this.#keeping.environment.timers.set(() => {
      if (!this.#closed) void this.#open();
    }, delayMs);
  }
}

export const plainChannel = (model: ChannelModel): Promise<Channel> => model.createChannel();

export const confirmChannel = (model: ChannelModel): Promise<ConfirmChannel> =>
  model.createConfirmChannel();
