/** What one receiver has delivered and not yet seen settled, against what it may. Its parts may share it. */
export class Budget {
  readonly #messagesMax: number;
  readonly #bytesMax: number;
  #messages = 0;
  #bytes = 0;
  /** What is next in line was too large for the room that is left. */
  #blocked = false;
  readonly #freed: (() => void)[] = [];

  constructor({
    prefetch,
    prefetchBytes,
  }: {
    readonly prefetch: number;
    readonly prefetchBytes: number;
  }) {
    this.#messagesMax = prefetch;
    this.#bytesMax = prefetchBytes;
  }

  /** Messages there is room for. */
  get room(): number {
    if (this.#messages > 0 && (this.#blocked || this.#bytes >= this.#bytesMax)) return 0;
    return Math.max(0, this.#messagesMax - this.#messages);
  }

  take(bytes: number): void {
    this.#messages += 1;
    this.#bytes += bytes;
  }

  give(bytes: number): void {
    this.#messages -= 1;
    this.#bytes -= bytes;
    this.#blocked = false;
    for (const freed of this.#freed) freed();
  }

  /** What waits is too large: there is no room until something was given back, or trying would go on without a pause. */
  block(): void {
    this.#blocked = true;
  }

  /** Calls back whenever something was given back. */
  onFreed(freed: () => void): void {
    this.#freed.push(freed);
  }

  /** Room to be filled step by step before anything is taken. One message always fits into an empty budget, however large. */
  plan(messagesMax: number): Plan {
    return new Plan(
      Math.min(this.room, messagesMax),
      this.#bytesMax - this.#bytes,
      this.#messages === 0,
    );
  }
}

export class Plan {
  room: number;
  #bytes: number;
  #empty: boolean;

  constructor(room: number, bytes: number, empty: boolean) {
    this.room = room;
    this.#bytes = bytes;
    this.#empty = empty;
  }

  /** Takes the message when it fits. */
  fits(bytes: number): boolean {
    if (this.room <= 0 || (bytes > this.#bytes && !this.#empty)) return false;
    this.room -= 1;
    this.#bytes -= bytes;
    this.#empty = false;
    return true;
  }
}
