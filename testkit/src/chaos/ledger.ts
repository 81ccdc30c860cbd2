import { closeSync, mkdirSync, openSync, readFileSync, readdirSync, writeSync } from "node:fs";
import { join } from "node:path";
import { systemEnvironment } from "@waybill/core";

/** What one process saw. Each line is one write to the file, which a kill of the process cannot take back. */
export interface Ledger extends Disposable {
  /** The transport confirmed this id. */
  accepted(id: string): void;
  /** A handler ran for this id. With a key: in the order of which its messages have to come. */
  handled(id: string, key?: string): void;
}

/** What all processes saw together. */
export interface Tally {
  readonly accepted: ReadonlySet<string>;
  /** How many times a handler ran for each id. */
  readonly handled: ReadonlyMap<string, number>;
  /** Of each key the ids in the order in which handlers ran, over all processes. */
  readonly byKey: ReadonlyMap<string, readonly string[]>;
}

/** For one process of a rig. When its test is killed, this process ends too: it would go on for ever otherwise. */
export function openLedger(directory: string, name: string): Ledger {
  process.once("disconnect", () => process.exit(1));
  process.channel?.unref();
  // One for all processes, so that what they wrote down has an order.
  const clock = systemEnvironment.clock.machine ?? systemEnvironment.clock;
  mkdirSync(directory, { recursive: true });
  const file = openSync(join(directory, `${name}.ledger`), "a");
  return {
    accepted: (id) => void writeSync(file, `a ${id}\n`),
    handled: (id, key) => {
      const line = key === undefined ? `h ${id}` : `k ${id} ${key} ${clock.now()}`;
      writeSync(file, `${line}\n`);
    },
    [Symbol.dispose]: () => closeSync(file),
  };
}

export function readLedgers(directory: string): Tally {
  const accepted = new Set<string>();
  const handled = new Map<string, number>();
  const runs = new Map<string, { readonly id: string; readonly at: number }[]>();
  for (const file of readdirSync(directory).filter((name) => name.endsWith(".ledger"))) {
    // A kill can cut a line in half; such a line had not been written when its process died.
    for (const line of readFileSync(join(directory, file), "utf8").split("\n").slice(0, -1)) {
      const [what, id = "", key = "", at = "0"] = line.split(" ");
      if (what === "a") {
        accepted.add(id);
        continue;
      }
      handled.set(id, (handled.get(id) ?? 0) + 1);
      if (what !== "k") continue;
      const ofKey = runs.get(key) ?? [];
      runs.set(key, ofKey);
      ofKey.push({ id, at: Number(at) });
    }
  }
  const byKey = new Map<string, readonly string[]>();
  for (const [key, ofKey] of runs) {
    ofKey.sort((one, other) => one.at - other.at);
    byKey.set(
      key,
      ofKey.map(({ id }) => id),
    );
  }
  return { accepted, handled, byKey };
}

/**
 * Ids that a handler got for the first time before some other that was sent before them with the same key. Ids end with their number in the
 * order of sending, from 0: `…-7`. What comes again after a crash may come again from further back.
 */
export function overtakers({ byKey }: Pick<Tally, "byKey">): readonly string[] {
  const found: string[] = [];
  for (const ids of byKey.values()) {
    let next = 0;
    for (const id of ids) {
      const number = Number(id.slice(id.lastIndexOf("-") + 1));
      if (number > next) found.push(id);
      if (number >= next) next = number + 1;
    }
  }
  return found;
}
