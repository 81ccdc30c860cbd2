import type { Broker, Homes } from "./homes.ts";
import { kinds, wordOf } from "./options.ts";

/** Handles of several brokers: `events:` before that of the broker which carries events. */
export class Handles {
  readonly #homes: Homes;

  constructor(homes: Homes) {
    this.#homes = homes;
  }

  of({ kinds: [kind = "command"] }: Broker, handle: string): string {
    return `${wordOf[kind]}:${handle}`;
  }

  /** Undefined for what is none of ours. */
  read(text: string): { readonly broker: Broker; readonly handle: string } | undefined {
    const end = text.indexOf(":");
    const kind = kinds.find((each) => wordOf[each] === text.slice(0, Math.max(0, end)));
    if (kind === undefined) return undefined;
    return { broker: this.#homes.of(kind), handle: text.slice(end + 1) };
  }

  /** Each broker with its handles, in their order; what is none of ours is left out. */
  byBroker(texts: readonly string[]): ReadonlyMap<Broker, readonly string[]> {
    const found = new Map<Broker, string[]>();
    for (const text of texts) {
      const read = this.read(text);
      if (read === undefined) continue;
      const known = found.get(read.broker);
      if (known === undefined) found.set(read.broker, [read.handle]);
      else known.push(read.handle);
    }
    return found;
  }
}
