import type { Timer, Timers } from "../ports/environment.ts";

/** Something that wants to be called at a moment. Fields beyond `ring` belong to the AlarmClock. */
export interface Alarm {
  /** The moment, on the clock of the AlarmClock it is set in. */
  at: number;
  /** Decides between alarms of one moment: the lower rings first. */
  readonly seq: number;
  /** Where it stands in the heap; -1 when it is not set. */
  slot: number;
  ring(): void;
}

/** Any number of alarms on one timer, in a binary heap: setting and cancelling cost O(log n). */
export class AlarmClock {
  readonly #now: () => number;
  readonly #timers: Timers;
  readonly #heap: Alarm[] = [];
  #timer: Timer | undefined;
  #timerAt = Infinity;

  constructor(now: () => number, timers: Timers) {
    this.#now = now;
    this.#timers = timers;
  }

  /** Sets an alarm, or moves it when it is set already. */
  set(alarm: Alarm, at: number): void {
    this.cancel(alarm);
    alarm.at = at;
    alarm.slot = this.#heap.length;
    this.#heap.push(alarm);
    this.#rise(alarm.slot);
    if (at < this.#timerAt) this.#arm();
  }

  cancel(alarm: Alarm): void {
    const slot = alarm.slot;
    if (slot < 0) return;
    alarm.slot = -1;
    const last = this.#heap.pop() as Alarm;
    if (last === alarm) return;
    this.#place(last, slot);
    this.#rise(slot);
    this.#sink(last.slot);
  }

  /** Alarms that are set, in no order. */
  pending(): readonly Alarm[] {
    return this.#heap;
  }

  #arm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerAt = this.#heap[0]?.at ?? Infinity;
    if (this.#timerAt === Infinity) return;
    // A wall clock may be set while we sleep; a bounded nap notices it.
    const delayMs = Math.min(Math.max(this.#timerAt - this.#now(), 1), napMsMax);
    this.#timer = this.#timers.set(this.#ringDue, delayMs);
  }

  readonly #ringDue = (): void => {
    const now = this.#now();
    for (let first = this.#heap[0]; first !== undefined && first.at <= now; first = this.#heap[0]) {
      this.cancel(first);
      first.ring();
    }
    this.#arm();
  };

  #rise(from: number): void {
    const alarm = this.#heap[from] as Alarm;
    let slot = from;
    while (slot > 0) {
      const above = this.#heap[(slot - 1) >> 1] as Alarm;
      if (!before(alarm, above)) break;
      this.#place(above, slot);
      slot = (slot - 1) >> 1;
    }
    this.#place(alarm, slot);
  }

  #sink(from: number): void {
    const alarm = this.#heap[from] as Alarm;
    let slot = from;
    for (;;) {
      const left = this.#heap[2 * slot + 1];
      if (left === undefined) break;
      const right = this.#heap[2 * slot + 2];
      const least = right !== undefined && before(right, left) ? right : left;
      if (!before(least, alarm)) break;
      const next = least.slot;
      this.#place(least, slot);
      slot = next;
    }
    this.#place(alarm, slot);
  }

  #place(alarm: Alarm, slot: number): void {
    this.#heap[slot] = alarm;
    alarm.slot = slot;
  }
}

const napMsMax = 60_000;

function before(left: Alarm, right: Alarm): boolean {
  return left.at < right.at || (left.at === right.at && left.seq < right.seq);
}
