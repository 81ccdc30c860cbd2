import type { LogMessage } from "./pgoutput.ts";

/** What has come over the line, in its order. */
export type Item =
  | { readonly kind: "message"; readonly lsn: bigint; readonly message: LogMessage }
  /** The server has read the log up to here, and there was nothing for this slot. */
  | { readonly kind: "reached"; readonly lsn: bigint }
  | { readonly kind: "broken"; readonly error: unknown };

const bytesMost = 4 * 1024 * 1024;
const itemsMost = 5_000;
/** What an item costs beside its bytes. */
const itemBytes = 200;

/** What was read and is not published yet. When it is full the line rests, so that the rest waits with the server. */
export class Inbox {
  readonly #line: { pause(): void; resume(): void };
  #items: { readonly item: Item; readonly bytes: number }[] = [];
  #first = 0;
  #bytes = 0;
  #isResting = false;
  #wake: (() => void) | undefined;

  constructor(line: { pause(): void; resume(): void }) {
    this.#line = line;
  }

  get isEmpty(): boolean {
    return this.#first === this.#items.length;
  }

  get isResting(): boolean {
    return this.#isResting;
  }

  push(item: Item, size: number): void {
    const bytes = size + itemBytes;
    this.#items.push({ item, bytes });
    this.#bytes += bytes;
    if (!this.#isResting && (this.#bytes > bytesMost || this.#count > itemsMost)) {
      this.#isResting = true;
      this.#line.pause();
    }
    this.#wake?.();
  }

  take(): { readonly item: Item; readonly bytes: number } | undefined {
    const taken = this.#items[this.#first];
    if (taken === undefined) return undefined;
    this.#first += 1;
    this.#bytes -= taken.bytes;
    if (this.#first === this.#items.length || this.#first > itemsMost) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    if (this.#isResting && this.#bytes < bytesMost / 2 && this.#count < itemsMost / 2) {
      this.#isResting = false;
      this.#line.resume();
    }
    return taken;
  }

  /** Resolves when there is something, or when it is aborted. */
  async filled(signal: AbortSignal): Promise<void> {
    if (!this.isEmpty || signal.aborted) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    this.#wake = undefined;
  }

  get #count(): number {
    return this.#items.length - this.#first;
  }
}
