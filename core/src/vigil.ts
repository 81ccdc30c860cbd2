import type { Environment, Timer } from "./ports/environment.ts";

/**
 * Keeps the process alive while there is a reason to: a bus that listens, a call that waits, a shutdown that is not
 * done. Timers do not, so without this a process that only listens would end at once, and one that only waits for an
 * answer would end before its deadline.
 */
export class Vigil {
  readonly #environment: Environment;
  #reasons = 0;
  #lamp: Timer | undefined;
  #over = false;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** Answers how to end it; a second call of that does nothing. */
  hold(): () => void {
    this.#reasons += 1;
    if (this.#reasons === 1 && !this.#over) this.#lamp = this.#environment.keepAlive?.();
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#reasons -= 1;
      if (this.#reasons === 0) this.#lamp?.cancel();
    };
  }

  /** The bus is closed: what still holds (an iterator that nobody finished) holds nothing any more. */
  end(): void {
    this.#over = true;
    this.#lamp?.cancel();
  }
}
