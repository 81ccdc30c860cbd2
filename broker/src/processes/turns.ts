import { closeSync, readSync, writeSync } from "node:fs";
import type { Environment, MachineClock } from "@waybill/core";
import { lockClockOf } from "@waybill/core/adapter";
import { openBeside } from "./beside.ts";

const slots = 64;
const slotBytes = 8;
/** An older request is of a process that died while it waited. */
const requestMsMax = 1_000;
const renewMs = 250;

/**
 * SQLite's write lock has no queue: whoever tries at the right moment gets it, and a process that writes without pause
 * would keep the others out for seconds. So whoever has waited for a while writes so into a file beside the database,
 * and who has just had the lock reads it and lets the others go first. A hint only: what it says wrongly costs milliseconds.
 */
export class Turns {
  readonly #clock: MachineClock;
  readonly #file: number;
  readonly #slot: number;
  readonly #all: Float64Array<ArrayBuffer> = new Float64Array(slots);
  readonly #own: Float64Array<ArrayBuffer> = new Float64Array(1);
  #askedAt: number | undefined;

  constructor(databaseFile: string, environment: Environment) {
    this.#clock = lockClockOf(environment.clock);
    this.#file = openBeside(databaseFile.replace(/\.db$/, ".turn"));
    this.#slot = Math.floor(environment.random() * slots);
  }

  /** This process has waited for long. */
  ask(): void {
    const now = this.#clock.now();
    if (this.#askedAt !== undefined && Math.abs(now - this.#askedAt) < renewMs) return;
    this.#askedAt = now;
    this.#write(now);
  }

  /** This process has had its turn. */
  had(): void {
    if (this.#askedAt === undefined) return;
    this.#askedAt = undefined;
    this.#write(0);
  }

  /** How many other processes have waited for long. */
  asking(): number {
    const now = this.#clock.now();
    const read = readSync(this.#file, this.#all, 0, slots * slotBytes, 0);
    let count = 0;
    for (let slot = 0; slot * slotBytes < read; slot++) {
      const since = this.#all[slot] ?? 0;
      if (slot !== this.#slot && since > 0 && Math.abs(now - since) < requestMsMax) count += 1;
    }
    return count;
  }

  close(): void {
    this.had();
    closeSync(this.#file);
  }

  #write(moment: number): void {
    this.#own[0] = moment;
    writeSync(this.#file, this.#own, 0, slotBytes, this.#slot * slotBytes);
  }
}
