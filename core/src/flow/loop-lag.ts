import type { Environment, Timer } from "../ports/environment.ts";
import type { Logger } from "../ports/logger.ts";
import { addressOf } from "../ports/transport.ts";
import type { Intake } from "../wiring/route.ts";

/** How late the event loop of this process was. */
export interface LoopHealth {
  readonly meanMs: number;
  readonly maxMs: number;
  /** Over how long, up to now; to a tenth of it. */
  readonly windowMs: number;
  /** Above it locks are in danger: a third of the shortest `lockMs` here. */
  readonly boundMs: number;
}

const everyMs = 100;
const slotMs = 6_000;
const slots = 10;

interface Slot {
  /** Counted from the beginning of the clock. */
  number: number;
  sumMs: number;
  count: number;
  maxMs: number;
}

/** Undefined where nothing is received, and where time does not pass by itself. */
export function watchLag(
  intakes: readonly Intake[],
  { environment, logger }: { environment: Environment; logger: Logger },
): LoopLag | undefined {
  const [shortest] = intakes.toSorted((left, right) => left.lockMs - right.lockMs);
  if (shortest === undefined || environment.watchLoop === undefined) return undefined;
  return new LoopLag(shortest, environment, logger);
}

/**
 * Watches the event loop: nothing that this process does (renewing locks, heeding deadlines, answering) is more punctual than that. Locks are
 * renewed at a third of their time, so a stall of another third brings the next renewal close to the end.
 */
export class LoopLag {
  readonly #environment: Environment;
  readonly #logger: Logger;
  readonly #shortest: { readonly address: string; readonly lockMs: number };
  readonly #slots: Slot[] = [];
  readonly #boundMs: number;
  #warnedAt = -Infinity;
  #timer: Timer | undefined;

  constructor(shortest: Intake, environment: Environment, logger: Logger) {
    this.#environment = environment;
    this.#logger = logger;
    this.#shortest = { address: addressOf(shortest.source), lockMs: shortest.lockMs };
    this.#boundMs = shortest.lockMs / 3;
    this.#timer = environment.watchLoop?.(everyMs, (lateMs) => this.#take(lateMs));
  }

  health(): LoopHealth {
    const oldest = this.#slotNumber() - slots;
    const recent = this.#slots.filter(({ number }) => number > oldest);
    const count = recent.reduce((sum, slot) => sum + slot.count, 0);
    return {
      meanMs: count === 0 ? 0 : recent.reduce((sum, slot) => sum + slot.sumMs, 0) / count,
      maxMs: Math.max(0, ...recent.map(({ maxMs }) => maxMs)),
      windowMs: slotMs * slots,
      boundMs: this.#boundMs,
    };
  }

  /** Why this process is not up, a sentence where it is not. */
  complaints(): readonly string[] {
    const { maxMs, boundMs, windowMs } = this.health();
    return maxMs <= boundMs
      ? []
      : [`within the last ${windowMs / 1_000} s ${this.#inWords(maxMs)}`];
  }

  end(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #take(lateMs: number): void {
    const number = this.#slotNumber();
    const place = number % slots;
    let slot = this.#slots[place];
    if (slot?.number !== number)
      this.#slots[place] = slot = { number, sumMs: 0, count: 0, maxMs: 0 };
    slot.sumMs += lateMs;
    slot.count += 1;
    slot.maxMs = Math.max(slot.maxMs, lateMs);
    if (lateMs > this.#boundMs) this.#warn(lateMs);
  }

  /** Once in a window: a handler that stalls does so again and again. */
  #warn(lateMs: number): void {
    const now = this.#environment.clock.monotonic();
    if (now - this.#warnedAt < slotMs * slots) return;
    this.#warnedAt = now;
    const text = this.#inWords(lateMs);
    this.#logger.warn(`${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`, {
      lateMs: Math.round(lateMs),
      boundMs: Math.round(this.#boundMs),
    });
  }

  #inWords(lateMs: number): string {
    const { address, lockMs } = this.#shortest;
    const danger =
      lateMs >= lockMs
        ? `locks of "${address}" last ${lockMs} ms, so others may have had its messages`
        : `locks of "${address}" last ${lockMs} ms and are renewed late`;
    return `the event loop stood still for ${Math.round(lateMs)} ms: ${danger}. Move long computations to a worker thread (node:worker_threads), pause between pieces (await context.sleep(0)), handle smaller batches, or raise lockMs`;
  }

  #slotNumber(): number {
    return Math.floor(this.#environment.clock.monotonic() / slotMs);
  }
}
