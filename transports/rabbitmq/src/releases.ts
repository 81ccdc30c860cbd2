import { createHash } from "node:crypto";
import type { Environment, Logger, WaybillError } from "@waybill/core";
import type { AmqpDelivery } from "./delivery.ts";
import type { Link } from "./link.ts";
import type { Making } from "./making.ts";
import type { Parcel } from "./publisher.ts";
import { type Entry, SharedLog } from "./shared-log.ts";

export interface ReleasesParts {
  readonly queue: string;
  readonly link: Link;
  readonly environment: Environment;
  readonly logger: Logger;
  readonly send: (parcel: Parcel) => Promise<void>;
}

const mebibyte = 1024 * 1024;
/** Some 10,000 releases at least, one by one; far more where many go back together. Who is told of none counts it. */
const logArguments: Readonly<Record<string, unknown>> = {
  "x-queue-type": "stream",
  "x-max-length-bytes": 4 * mebibyte,
  "x-stream-max-segment-size-bytes": mebibyte,
};
/** Messages remembered in this process; the oldest leave first. */
const rememberedMax = 100_000;
/** Messages of one entry of the log. */
const entryMax = 1_000;
/** Characters of a digest: 96 bits. */
const digestLength = 16;

/**
 * Which deliveries were given back untouched. RabbitMQ counts them with all others, so they are written down before they are given back: dying in
 * between makes nothing wrong, for what is written down was not run. Read only when a message comes that was delivered before.
 */
export class Releases {
  readonly #parts: ReleasesParts;
  readonly #uncounted = new Map<string, number>();
  #log: SharedLog | undefined;
  #syncing: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #isTold = false;

  constructor(parts: ReleasesParts) {
    this.#parts = parts;
  }

  static async declare(channel: Making, queue: string): Promise<void> {
    await channel.assertQueue(queue, { durable: true, arguments: logArguments });
  }

  /** Resolves when it is written down, or cannot be: then the release counts. */
  async note(queue: string, deliveries: readonly AmqpDelivery[]): Promise<void> {
    const notes = deliveries.map((delivery): readonly [string, number] => [
      keyOf(queue, delivery),
      delivery.uncounted + 1,
    ]);
    for (let from = 0; from < notes.length; from += entryMax)
      await this.#try(() =>
        this.#opened().append({ released: notes.slice(from, from + entryMax) }),
      );
  }

  /** Tells each of them how many of its deliveries were no attempts. */
  async count(queue: string, deliveries: readonly AmqpDelivery[]): Promise<void> {
    await this.#try(() => this.#sync());
    for (const delivery of deliveries)
      delivery.know(this.#uncounted.get(keyOf(queue, delivery)) ?? 0);
  }

  async close(): Promise<void> {
    await this.#log?.close();
  }

  /** Who asks while an answer is under way needs the next one: it knows more. */
  #sync(): Promise<void> {
    if (this.#syncing === undefined) return this.#begin();
    return (this.#next ??= this.#syncing
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        return this.#begin();
      }));
  }

  #begin(): Promise<void> {
    const asked = this.#opened().sync();
    this.#syncing = asked;
    const done = (): void => {
      if (this.#syncing === asked) this.#syncing = undefined;
    };
    asked.then(done, done);
    return asked;
  }

  #opened(): SharedLog {
    const { queue, link, environment, send } = this.#parts;
    return (this.#log ??= new SharedLog({
      queue,
      link,
      environment,
      send,
      take: (entry) => this.#take(entry),
      fault: (error) => this.#tell(error),
    }));
  }

  #take({ released }: Entry): void {
    if (!Array.isArray(released)) return;
    for (const note of released as readonly unknown[]) {
      if (!Array.isArray(note)) continue;
      const [key, uncounted] = note as readonly unknown[];
      if (typeof key !== "string" || typeof uncounted !== "number") continue;
      this.#uncounted.delete(key);
      this.#uncounted.set(key, uncounted);
    }
    for (const key of this.#uncounted.keys()) {
      if (this.#uncounted.size <= rememberedMax) return;
      this.#uncounted.delete(key);
    }
  }

  async #try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#tell(error as WaybillError);
    }
  }

  #tell(error: WaybillError): void {
    if (this.#isTold || error.code === "CLOSED") return;
    this.#isTold = true;
    this.#parts.logger.warn(
      `What is given back untouched may count as an attempt: ${error.message}`,
      { code: error.code },
    );
  }
}

/** A copy that we put back begins anew; what has no id is known by what it says. */
function keyOf(queue: string, { read, message }: AmqpDelivery): string {
  const { id } = read.envelope.header;
  const digest = createHash("sha256").update(JSON.stringify([queue, id, read.attempts, read.copy]));
  if (id === "") digest.update(message.content);
  return digest.digest("base64url").slice(0, digestLength);
}
