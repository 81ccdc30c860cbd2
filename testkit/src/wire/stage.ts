import {
  type Bus,
  type Codec,
  type Logger,
  type Service,
  type StoredMessage,
  type WireTransform,
  connect,
} from "@waybill/core";
import { reallyWait } from "../environment.ts";
import type { SuiteSubject } from "../suite/stage.ts";
import { type Tampering, tampering } from "./tampering.ts";

const patienceMs = 30_000;
const stepMs = 4;
const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** Processes of one application on one broker, with a stranger at the broker. */
export class WireStage {
  readonly stranger: Tampering;
  readonly #subject: SuiteSubject;
  readonly #codec: Codec | undefined;
  readonly #buses: Bus[] = [];

  constructor(subject: SuiteSubject, codec: Codec | undefined) {
    this.#subject = subject;
    this.#codec = codec;
    this.stranger = tampering(subject.factory);
  }

  /** Another process. Its calls go over the broker even when their owner is in it. */
  async connect(services: readonly Service[], wire: readonly WireTransform[]): Promise<Bus> {
    const bus: Bus = await connect({
      transport: this.stranger,
      services,
      wire,
      localCalls: false,
      logger: silent,
      handlers: { retry: { attempts: 2, delayMs: 1, immediate: 0 } },
      ...(this.#codec !== undefined && { codec: this.#codec }),
    });
    this.#buses.push(bus);
    return bus;
  }

  async until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    for (let waitedMs = 0; !(await holds()); waitedMs += stepMs) {
      if (waitedMs >= patienceMs) throw new Error(`waited ${patienceMs} ms in vain for: ${what}`);
      await reallyWait(stepMs);
    }
  }

  async dead(bus: Bus, count: number): Promise<readonly StoredMessage[]> {
    let found: readonly StoredMessage[] = [];
    await this.until(`${count} dead letters`, async () => {
      found = await bus.deadLetters.list({ limit: 1_000 });
      return found.length >= count;
    });
    return found;
  }

  async close(): Promise<void> {
    for (const bus of this.#buses.toReversed()) await bus.close({ deadlineMs: 1_000 });
    await this.#subject.dispose();
  }
}
