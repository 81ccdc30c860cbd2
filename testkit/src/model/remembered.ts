import type { Moment } from "./item.ts";
import { dedupQueue, dedupWindowMs } from "./places.ts";
import type { Sent } from "./sent.ts";

/** What one queue remembers of what was sent to it. */
export class Remembered {
  /** Until when, by type and id. */
  readonly #until = new Map<string, number>();

  /** Whether it is a duplicate; if not it is remembered from now on. */
  notes({ name, type, id, dedupid = id }: Sent, { now }: Moment): boolean {
    if (name !== dedupQueue) return false;
    const known = `${type} ${dedupid}`;
    if ((this.#until.get(known) ?? now) > now) return true;
    this.#until.set(known, now + dedupWindowMs);
    return false;
  }
}
