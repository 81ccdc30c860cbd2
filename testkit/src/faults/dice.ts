import { seededRandom } from "../random.ts";
import type { FaultCounts, FaultKind, FaultPlan } from "./plan.ts";

const kinds: readonly FaultKind[] = [
  "duplicate",
  "delay",
  "reorder",
  "dropSettlement",
  "loseAnswer",
  "failSend",
  "loseConfirm",
];

/** Draws faults from a seed and counts what it drew. Each kind has numbers of its own, so that one does not shift the others. */
export class Dice {
  readonly #plan: FaultPlan;
  readonly #draws: Readonly<Record<FaultKind, () => number>>;
  readonly #counts: Record<FaultKind, number>;
  #calm = false;

  constructor(seed: number, plan: FaultPlan) {
    for (const kind of kinds) assertShare(kind, plan[kind] ?? 0);
    this.#plan = plan;
    this.#draws = perKind((index) => seededRandom(seed * kinds.length + index));
    this.#counts = perKind(() => 0);
  }

  get counts(): FaultCounts {
    return { ...this.#counts };
  }

  calm(): void {
    this.#calm = true;
  }

  /** Whether that fault happens now. */
  strikes(kind: FaultKind): boolean {
    const share = this.#plan[kind] ?? 0;
    if (this.#calm || share === 0 || this.#draws[kind]() >= share) return false;
    this.#counts[kind] += 1;
    return true;
  }

  /** Milliseconds from 1 to the longest delay. */
  delayMs(): number {
    return 1 + Math.floor(this.#draws.delay() * (this.#plan.delayMsMax ?? delayMsMaxDefault));
  }

  /** The same items in an order by chance. */
  shuffle<Item>(items: readonly Item[]): readonly Item[] {
    const shuffled: Item[] = [];
    for (const item of items)
      shuffled.splice(Math.floor(this.#draws.reorder() * (shuffled.length + 1)), 0, item);
    return shuffled;
  }
}

const delayMsMaxDefault = 1_000;

function perKind<Value>(make: (index: number) => Value): Record<FaultKind, Value> {
  return Object.fromEntries(kinds.map((kind, index) => [kind, make(index)])) as Record<
    FaultKind,
    Value
  >;
}

function assertShare(kind: string, share: number): void {
  if (share >= 0 && share <= 1) return;
  throw new RangeError(
    `withFaults({ plan: { ${kind} } }) takes a share from 0 to 1, not ${share}.`,
  );
}
