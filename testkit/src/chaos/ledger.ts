import { closeSync, mkdirSync, openSync, readFileSync, readdirSync, writeSync } from "node:fs";
import { join } from "node:path";

/** What one process saw. Each line is one write to the file, which a kill of the process cannot take back. */
export interface Ledger extends Disposable {
  /** The transport confirmed this id. */
  accepted(id: string): void;
  /** A handler ran for this id. */
  handled(id: string): void;
}

/** What all processes saw together. */
export interface Tally {
  readonly accepted: ReadonlySet<string>;
  /** How many times a handler ran for each id. */
  readonly handled: ReadonlyMap<string, number>;
}

export function openLedger(directory: string, name: string): Ledger {
  mkdirSync(directory, { recursive: true });
  const file = openSync(join(directory, `${name}.ledger`), "a");
  return {
    accepted: (id) => void writeSync(file, `a ${id}\n`),
    handled: (id) => void writeSync(file, `h ${id}\n`),
    [Symbol.dispose]: () => closeSync(file),
  };
}

export function readLedgers(directory: string): Tally {
  const accepted = new Set<string>();
  const handled = new Map<string, number>();
  for (const file of readdirSync(directory).filter((name) => name.endsWith(".ledger"))) {
    // A kill can cut a line in half; such a line had not been written when its process died.
    for (const line of readFileSync(join(directory, file), "utf8").split("\n").slice(0, -1)) {
      const id = line.slice(2);
      if (line.startsWith("a ")) accepted.add(id);
      else handled.set(id, (handled.get(id) ?? 0) + 1);
    }
  }
  return { accepted, handled };
}
