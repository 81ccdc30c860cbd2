import type { Message } from "./message.ts";

const most = 10_000;

/** What a person deleted after it had failed, the newest of it: so that who follows a replay can tell it from what was handled. */
export class Discarded {
  readonly #handles = new Set<string>();

  note(address: string, { seq, failure }: Message): void {
    if (failure === undefined) return;
    this.#handles.add(`${address}#${seq}`);
    if (this.#handles.size <= most) return;
    for (const oldest of this.#handles) {
      this.#handles.delete(oldest);
      return;
    }
  }

  has(handle: string): boolean {
    return this.#handles.has(handle);
  }
}
