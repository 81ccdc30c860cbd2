const slots = 10;

/** Successes and failures of the last `windowMs`, to a tenth of it. Times are of the monotonic clock. */
export class Sample {
  readonly #slotMs: number;
  readonly #failures: number[] = Array.from({ length: slots }, () => 0);
  readonly #runs: number[] = Array.from({ length: slots }, () => 0);
  /** The slot of the latest run, counted from the beginning of the clock. */
  #latest = 0;
  failures = 0;
  runs = 0;

  constructor(windowMs: number) {
    this.#slotMs = windowMs / slots;
  }

  add(failed: boolean, now: number): void {
    const slot = Math.floor(now / this.#slotMs);
    if (slot !== this.#latest) this.#moveTo(slot);
    const place = slot % slots;
    this.#runs[place] = (this.#runs[place] ?? 0) + 1;
    this.runs += 1;
    if (!failed) return;
    this.#failures[place] = (this.#failures[place] ?? 0) + 1;
    this.failures += 1;
  }

  clear(): void {
    this.#failures.fill(0);
    this.#runs.fill(0);
    this.failures = 0;
    this.runs = 0;
  }

  #moveTo(slot: number): void {
    const steps = Math.min(slots, slot - this.#latest);
    for (let step = 1; step <= steps; step++) {
      const place = (slot - steps + step) % slots;
      this.failures -= this.#failures[place] ?? 0;
      this.runs -= this.#runs[place] ?? 0;
      this.#failures[place] = 0;
      this.#runs[place] = 0;
    }
    this.#latest = slot;
  }
}
