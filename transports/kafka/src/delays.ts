import type { Environment, Timer } from "@waybill/core";
import { parsedJson } from "@waybill/core/adapter";
import { brokerError } from "./errors.ts";
import { headersOf } from "./message.ts";
import { type Mover, type MoverParts, startMover } from "./mover.ts";
import type { Parcel } from "./publisher.ts";
import { type WantedTopic, ensureTopics } from "./topics.ts";
import type { Names } from "./topology.ts";
import type { Entry } from "./window.ts";

export interface DelaysParts extends Omit<MoverParts, "next"> {
  readonly environment: Environment;
}

/**
 * Milliseconds that a message waits in the partition of that number, so that all of one partition come free in the order in which they came. In the
 * first one each waits for its own moment, which is less than the next step away. What has to wait longer goes from step to step.
 */
const stepsMs: readonly number[] = [
  0,
  ...Array.from({ length: 9 }, (_, step) => 1_000 * 4 ** step),
];

const header = {
  /** When it is to reach its target. */
  due: Buffer.from("waybill-due"),
  /** When it leaves its partition. */
  until: Buffer.from("waybill-until"),
  /** Where it is to go. */
  target: Buffer.from("waybill-target"),
} as const;
const ownHeaders: readonly string[] = Object.values(header).map(String);
/** How often a process that receives looks whether others let messages wait. */
const lookMs = 5_000;

/** A partition for each step. */
export function delaysTopic(names: Names): WantedTopic {
  return { name: names.delaysTopic, partitions: stepsMs.length, keeping: "handled" };
}

/** Messages that wait for their time: one topic, which all processes that receive move on together. */
export class Delays {
  readonly #parts: DelaysParts;
  #ready: Promise<void> | undefined;
  #mover: Mover | undefined;
  #timer: Timer | undefined;
  #closed = false;

  constructor(parts: DelaysParts) {
    this.#parts = parts;
  }

  /** The same record, on its way over those that wait. */
  async wrap(parcel: Parcel, due: number): Promise<Parcel> {
    this.#ready ??= this.#declare().catch((error: unknown) => {
      this.#ready = undefined;
      throw brokerError("Making room for what waits", error);
    });
    await this.#ready;
    return this.#wrapped(parcel, due);
  }

  /** Helps to move on what waits, as soon as anything does. */
  watch(): void {
    if (this.#timer !== undefined || this.#mover !== undefined || this.#closed) return;
    const look = async (): Promise<void> => {
      const { client, names, environment } = this.#parts;
      const topic = await client.topic(names.delaysTopic, true).catch(() => undefined);
      if (this.#closed || this.#mover !== undefined) return;
      if (topic === undefined) this.#timer = environment.timers.set(() => void look(), lookMs);
      else this.#start();
    };
    void look();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#mover?.close();
  }

  async #declare(): Promise<void> {
    const { names } = this.#parts;
    await ensureTopics(this.#parts, [delaysTopic(names)]);
    if (!this.#closed) this.#start();
  }

  #start(): void {
    this.#mover ??= startMover({
      ...this.#parts,
      next: {
        untilOf: (entry) => numberOf(entry, header.until),
        onward: (entry, now) => this.#onward(entry, now),
      },
    });
  }

  #wrapped(parcel: Parcel, due: number): Parcel {
    const { names, environment } = this.#parts;
    const now = environment.clock.now();
    const step = stepsMs.findLastIndex((ms) => ms <= Math.max(0, due - now));
    const { topic, partition } = parcel;
    const headers = new Map(parcel.headers);
    headers.set(header.due, Buffer.from(String(due)));
    headers.set(header.until, Buffer.from(String(step === 0 ? due : now + (stepsMs[step] ?? 0))));
    headers.set(header.target, Buffer.from(JSON.stringify({ topic, partition })));
    return { ...parcel, headers, topic: names.delaysTopic, partition: step };
  }

  /** To its target, or to the next step. Undefined for what nobody of us wrote. */
  #onward({ stored }: Entry, now: number): Parcel | undefined {
    const headers = new Map<Buffer, Buffer>();
    for (const [name, value] of stored.headers)
      if (name !== null && value !== null && !ownHeaders.includes(name.toString()))
        headers.set(name, value);
    const said = headersOf(stored);
    const { topic, partition } = Object(
      parsedJson(said.get("waybill-target") ?? ""),
    ) as Partial<Parcel>;
    if (typeof topic !== "string") return undefined;
    const parcel: Parcel = {
      topic,
      headers,
      value: stored.value ?? undefined,
      ...(typeof partition === "number" && { partition }),
      ...(stored.key !== null && { key: stored.key }),
    };
    const due = Number(said.get("waybill-due") ?? 0);
    return due > now ? this.#wrapped(parcel, due) : parcel;
  }
}

function numberOf({ stored }: Entry, name: Buffer): number {
  const value = Number(headersOf(stored).get(name.toString()));
  return Number.isFinite(value) ? value : 0;
}
