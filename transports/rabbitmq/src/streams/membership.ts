import type { Environment, Timer, WaybillError } from "@waybill/core";
import type { Channel } from "amqplib";
import { KeptChannel, plainChannel } from "../kept-channel.ts";
import type { Link } from "../link.ts";

export interface SignOfLifeParts {
  /** The member's own queue: it is there as long as its connection. */
  readonly queue: string;
  readonly link: Link;
  readonly environment: Environment;
  /** The queue is there: others see that we live. */
  readonly begun: () => void;
  readonly fault: (error: WaybillError) => void;
}

/**
 * A sign of life that the broker keeps for us: a queue that nobody writes to, which goes with our connection. When that comes back, so does the queue; who
 * looked in between takes us for gone.
 */
export class SignOfLife {
  readonly #kept: KeptChannel<Channel>;

  constructor({ queue, link, environment, begun, fault }: SignOfLifeParts) {
    this.#kept = new KeptChannel<Channel>({
      doing: `Keeping "${queue}"`,
      link,
      environment,
      fault,
      open: plainChannel,
      ready: async (channel) => {
        await channel.assertQueue(queue, { durable: false, autoDelete: true });
        // A queue of this kind goes when its last consumer does.
        await channel.consume(queue, () => undefined);
      },
      opened: begun,
      lost: () => undefined,
    });
    this.#kept.start();
  }

  get isUp(): boolean {
    return this.#kept.current !== undefined;
  }

  close(): Promise<void> {
    return this.#kept.close();
  }
}

export interface WatchParts {
  readonly environment: Environment;
  readonly self: string;
  /** Everybody in the group, oneself included. */
  readonly members: () => readonly string[];
  readonly isAlive: (member: string) => Promise<boolean>;
  readonly gone: (member: string) => Promise<void>;
}

const watchMs = 500;

/** Each member watches the next one, so that all are watched however many there are; who begins looks at all once. */
export class Watch {
  readonly #parts: WatchParts;
  #timer: Timer | undefined;
  #closed = false;

  constructor(parts: WatchParts) {
    this.#parts = parts;
  }

  async start(): Promise<void> {
    const { self, members } = this.#parts;
    for (const member of members()) if (member !== self) await this.#check(member);
    this.#later();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #later(): void {
    if (this.#closed) return;
    this.#timer = this.#parts.environment.timers.set(() => void this.#look(), watchMs);
  }

  async #look(): Promise<void> {
    // The one behind a dead one is not watched by anybody else.
    for (;;) {
      const next = this.#next();
      if (this.#closed || next === undefined || (await this.#check(next))) break;
    }
    this.#later();
  }

  #next(): string | undefined {
    const { self, members } = this.#parts;
    const sorted = [...new Set([...members(), self])].toSorted();
    const next = sorted[(sorted.indexOf(self) + 1) % sorted.length];
    return next === self ? undefined : next;
  }

  /** Whether it lives; true as well when that cannot be told now. */
  async #check(member: string): Promise<boolean> {
    try {
      if (this.#closed || (await this.#parts.isAlive(member))) return true;
      await this.#parts.gone(member);
      return false;
    } catch {
      return true;
    }
  }
}
