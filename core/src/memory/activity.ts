/** Counts what is on its way, so that a test knows the moment at which nothing is. */
export class Activity {
  #deliveries = 0;
  #wakeUps = 0;
  readonly #onQuiet: () => void;

  constructor(onQuiet: () => void) {
    this.#onQuiet = onQuiet;
  }

  get quiet(): boolean {
    return this.#deliveries === 0 && this.#wakeUps === 0;
  }

  delivered(): void {
    this.#deliveries += 1;
  }

  settled(): void {
    this.#deliveries -= 1;
    this.#tell();
  }

  waking(): void {
    this.#wakeUps += 1;
  }

  awake(): void {
    this.#wakeUps -= 1;
    this.#tell();
  }

  #tell(): void {
    if (this.quiet) this.#onQuiet();
  }
}
