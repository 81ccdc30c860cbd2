import type { Item, Moment } from "./item.ts";

/** Where queues forward what arrives, and their dead letters; and which addresses are paused. */
export class Ways {
  readonly #onward = new Map<string, string>();
  readonly #keepers = new Map<string, string>();
  /** Those that forward, and whose declaration has been answered. */
  #silent: ReadonlySet<string> = new Set();
  readonly #paused = new Set<string>();
  #changedAt = 0;

  /** To be called before that is declared. Undefined: it stays. */
  forward(
    address: string,
    ways: { readonly to: string | undefined; readonly deadTo: string | undefined },
    { now }: Moment,
  ): void {
    this.#changedAt = now;
    set(this.#onward, address, ways.to);
    set(this.#keepers, address, ways.deadTo);
  }

  /** What was declared holds for everybody. */
  declared(): void {
    this.#silent = new Set(this.#onward.keys());
  }

  onward(address: string): string | undefined {
    return this.#onward.get(address);
  }

  /** Among whose dead letters those of an address stand. */
  keeper(address: string): string | undefined {
    return this.#keepers.get(address);
  }

  pause(address: string): void {
    this.#paused.add(address);
  }

  /** False when it was not paused. */
  resume(address: string, { now }: Moment): boolean {
    this.#changedAt = now;
    return this.#paused.delete(address);
  }

  resumeAll(moment: Moment): readonly string[] {
    return [...this.#paused].filter((address) => this.resume(address, moment));
  }

  /** Why the address delivers nothing; undefined when it does. */
  silence(address: string): string | undefined {
    if (this.#paused.has(address)) return "it is paused";
    return this.#silent.has(address) ? "it forwards" : undefined;
  }

  /** Whether it waits where it should go on from, to that address. */
  mayMove(item: Item, to: string, { now }: Moment): boolean {
    if (this.#onward.get(item.address) !== to || this.#paused.has(item.address)) return false;
    if (item.state === "scheduled") return item.due <= now;
    return item.state === "ready" || (item.state === "orphan" && item.freeFrom <= now);
  }

  /** Whether it should have gone on by now. */
  isLate(item: Item, { now, slackMs }: Moment): boolean {
    if (item.state !== "ready" || this.silence(item.address) !== "it forwards") return false;
    return now > Math.max(item.sinceAt, this.#changedAt) + slackMs && item.notAfter > now;
  }
}

/** It stands in front of what arrives, or may come to do so by time alone. */
export function mayWait({ state }: Item): boolean {
  return state === "ready" || state === "orphan" || state === "scheduled";
}

function set(map: Map<string, string>, key: string, value: string | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}
