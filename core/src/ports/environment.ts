/**
 * Time, chance and identity as arguments. Nothing in Waybill reads a clock, sets a timer or draws a random number
 * except through this, so that a test can run unmodified services under a clock of its own.
 */
export interface Environment {
  readonly clock: Clock;
  readonly timers: Timers;
  /** Keeps the process from ending by itself until the answer is cancelled. Absent where there is no process to keep. */
  keepAlive?(): Timer;
  /**
   * Tells every `everyMs` by how many milliseconds more than that the event loop kept it waiting, until it is cancelled. Does not keep the
   * process alive. Absent where time does not pass by itself: there nothing is late.
   */
  watchLoop?(everyMs: number, late: (lateMs: number) => void): Timer;
  /** Uniform in [0, 1). Not for secrets. */
  random(): number;
  /** A new id that cannot be guessed: 122 random bits or more in production. */
  id(): string;
}

export interface Clock {
  /** Milliseconds since 1970, as people and other machines see it. May jump. */
  now(): number;
  /** Milliseconds since some moment, never going back. For durations and locks. */
  monotonic(): number;
  /** For locks that processes of one machine share. Absent where the platform has no such clock; then they run on `now`. */
  readonly machine?: MachineClock;
}

/** A monotonic clock that all processes of one boot of the machine read alike. */
export interface MachineClock {
  /** Names the boot: another one after every start of the machine. */
  readonly boot: string;
  /** Milliseconds since a moment that is the same for all of them, never going back. */
  now(): number;
}

export interface Timers {
  /** Calls back once, after at least `delayMs`. Does not keep the process alive. */
  set(callback: () => void, delayMs: number): Timer;
  /** Calls back as soon as the work at hand has yielded; cheaper than a timer of 0. */
  soon(callback: () => void): void;
}

export interface Timer {
  cancel(): void;
}

/** Resolves after `delayMs`, or rejects with the signal's reason. */
export function sleep(timers: Timers, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason as Error);
    };
    const timer = timers.set(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, delayMs);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
