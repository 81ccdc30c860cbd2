import type { Tally } from "../../chaos/ledger.ts";
import { routeRun } from "./worker.ts";

/** What went wrong, by the ids of tasks. */
export interface StoreKillVerdict {
  /** Accepted, or committed by a route, and never done. */
  readonly lost: readonly string[];
  /** Done more than once, in the database. */
  readonly doubled: readonly string[];
  /** Told or done, though what it came from was not committed. */
  readonly ghosts: readonly string[];
  /** Committed and never told. */
  readonly zombies: readonly string[];
}

/** Holds what processes saw against what stands in the database: rows of `<id>/<run>`. */
export function storeKillVerdict(rows: readonly string[], tally: Tally): StoreKillVerdict {
  const written = new Set(rows);
  const runsOf = new Map<string, number>();
  const routed: string[] = [];
  for (const row of rows) {
    const [id = "", run = ""] = row.split("/");
    if (run === routeRun) routed.push(id);
    else runsOf.set(id, (runsOf.get(id) ?? 0) + 1);
  }
  const done = [...runsOf.keys()];
  const isGhost = (id: string): boolean =>
    id.startsWith(routeRun) && !written.has(`${id}/${routeRun}`);
  return {
    lost: [...new Set([...tally.accepted, ...routed])].filter((id) => !runsOf.has(id)),
    doubled: done.filter((id) => runsOf.get(id) !== 1),
    ghosts: [
      ...done.filter(isGhost),
      ...[...tally.handled.keys()].filter((told) => !written.has(told)),
    ],
    zombies: rows.filter((row) => !row.endsWith(`/${routeRun}`) && !tally.handled.has(row)),
  };
}
