import type { Environment, Timer } from "../ports/environment.ts";
import type { Alarm } from "./alarms.ts";
import type { Kernel } from "./kernel.ts";

export interface LeaseParts {
  readonly kernel: Kernel;
  /** The receiving process's own, so that its locks run out when it stalls. */
  readonly environment: Environment;
  readonly lockMs: number;
  /** Some lock may have run out at `now` (monotonic). Answers when the next one may, Infinity for never. */
  readonly onRunOut: (now: number) => number;
  /** A renewal came through after the lease had lapsed. */
  readonly onReturn: () => void;
  /** Whether there is still something to renew. */
  readonly needed: () => boolean;
  /** Nothing will be renewed any more. */
  readonly onEnd: () => void;
}

/**
 * The lock of everything that one receiver holds. The receiver's process renews it at a third of its time; the
 * broker's own alarm takes the messages back when no renewal came.
 */
export class Lease implements Alarm {
  lapsed = false;
  at = 0;
  slot = -1;
  readonly seq: number;
  readonly #parts: LeaseParts;
  #renewedAt = 0;
  #renewal: Timer | undefined;

  constructor(parts: LeaseParts) {
    this.#parts = parts;
    this.seq = parts.kernel.nextSequence();
    this.#renew();
  }

  /** Until when a message is locked that was locked or last renewed at `since`. */
  lockedUntil(since: number): number {
    return Math.max(since, this.#renewedAt) + this.#parts.lockMs;
  }

  /** Makes the alarm ring at that moment at the latest. */
  watch(at: number): void {
    if (this.slot < 0 || at < this.at) this.#parts.kernel.locks.set(this, at);
  }

  ring(): void {
    const now = this.#parts.kernel.monotonic();
    const renewedUntil = this.lockedUntil(0);
    this.lapsed = renewedUntil <= now;
    const next = this.#parts.onRunOut(now);
    if (!this.lapsed) this.watch(renewedUntil);
    if (next < Infinity) this.watch(next);
  }

  /** Renews no more; what is locked runs out. */
  silence(): void {
    this.#renewal?.cancel();
    this.#renewal = undefined;
  }

  end(): void {
    this.silence();
    this.#parts.kernel.locks.cancel(this);
    this.#parts.onEnd();
  }

  #renew(): void {
    const { kernel, environment, lockMs, needed, onReturn } = this.#parts;
    this.#renewedAt = kernel.monotonic();
    this.watch(this.lockedUntil(0));
    if (this.lapsed) {
      this.lapsed = false;
      onReturn();
    }
    this.#renewal = environment.timers.set(
      () => (needed() ? this.#renew() : this.end()),
      lockMs / 3,
    );
  }
}
