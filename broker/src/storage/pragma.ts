import type { DatabaseSync } from "node:sqlite";

/** The first value that a pragma answers with. */
export function pragma(db: DatabaseSync, name: string): unknown {
  const row = db.prepare(`pragma ${name}`).get();
  return row === undefined ? undefined : Object.values(row)[0];
}
