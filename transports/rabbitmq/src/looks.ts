import {
  type Environment,
  type MessageState,
  type StoredMessage,
  WaybillError,
} from "@waybill/core";
import { type AsideState, handleOf } from "@waybill/core/adapter";
import type { Channel, GetMessage } from "amqplib";
import { ended, whileOpen } from "./ending.ts";
import { brokerError } from "./errors.ts";
import { type Read, readMessage } from "./message.ts";
import type { Names } from "./topology.ts";

export interface LookParts {
  readonly names: Names;
  readonly environment: Environment;
  readonly open: () => Promise<Channel>;
  /** Does something on a channel of its own. */
  readonly channel: <Result>(work: (channel: Channel) => Promise<Result>) => Promise<Result>;
}

/** A dead or deferred message in the hand of who looks. */
export interface Found {
  readonly read: Read;
  readonly stored: StoredMessage;
}

export interface Counts {
  readonly messageCount: number;
  readonly consumerCount: number;
}

type Verdict = "keep" | "take";
export type Visit = (found: Found) => Verdict | Promise<Verdict>;

/** More are not looked at: they would all have to be held at once. */
const looksMax = 100_000;

/**
 * AMQP can only look at a message by taking it. So whoever looks takes all of a queue's dead letters for a moment and gives them back, in their
 * order; another who looks in this moment sees fewer. It costs a round trip for each.
 */
export class Looks {
  readonly #parts: LookParts;
  #glass: Channel | undefined;
  /** One look at a time in this process. */
  #looking: Promise<unknown> = Promise.resolve();

  constructor(parts: LookParts) {
    this.#parts = parts;
  }

  /** Undefined when there is no such queue. */
  async counts(queue: string): Promise<Counts | undefined> {
    try {
      return await this.#parts.channel((channel) => channel.checkQueue(queue));
    } catch (error) {
      if (error instanceof WaybillError && error.code === "NOT_FOUND") return undefined;
      throw error;
    }
  }

  /** Shows everything that lies there, oldest first; what `visit` takes is gone. */
  visit(address: string, state: AsideState, visit: Visit): Promise<void> {
    const looked = this.#looking.then(() => this.#visitNow(address, state, visit));
    this.#looking = looked.catch(() => undefined);
    return looked;
  }

  async #visitNow(address: string, state: AsideState, visit: Visit): Promise<void> {
    const queue = queueOf(this.#parts.names, address, state);
    if ((await this.counts(queue)) === undefined) return;
    const channel = await this.#lookingGlass();
    try {
      // To the end, also when no more is wanted: what is given back stands behind what nobody took yet.
      for (let looked = 0; looked < looksMax; looked++) {
        const message = await whileOpen(channel, channel.get(queue));
        if (message === false) break;
        if ((await visit(this.#found(message, address, state))) === "take") channel.ack(message);
      }
      channel.nackAll(true);
      // Answered when everything before it was done.
      await channel.checkQueue(queue);
    } catch (error) {
      // What it held goes back with its end.
      await ended(channel);
      throw brokerError(`Looking at "${address}"`, error);
    }
  }

  /** One channel for all looks: only on the same channel does a look wait until what the one before gave back is back. */
  async #lookingGlass(): Promise<Channel> {
    if (this.#glass !== undefined) return this.#glass;
    const channel = await this.#parts.open();
    channel.on("error", () => undefined);
    channel.on("close", () => (this.#glass = undefined));
    return (this.#glass = channel);
  }

  #found(message: GetMessage, address: string, state: AsideState): Found {
    const known = readMessage(message, this.#parts.environment.clock.now());
    const { envelope, enqueuedAt, failure, attempts: attempt } = known;
    const { id } = envelope.header;
    const handle = handleOf(address, known.position === undefined ? id : `${id} ${known.copy}`);
    return {
      read: known,
      stored: { origin: undefined, handle, address, state, envelope, attempt, enqueuedAt, failure },
    };
  }
}

export function queueOf(names: Names, address: string, state: MessageState): string {
  const queue = names.queue(address);
  if (state === "dead") return names.dead(queue);
  return state === "deferred" ? names.deferred(queue) : queue;
}
