import { closeSync, constants, fdatasyncSync, fsyncSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { openBeside } from "../processes/beside.ts";
import type { Settings } from "../options.ts";

/**
 * Brings what was committed to the disk, as SQLite's `synchronous=FULL` would, but when the write lock is free again: inside COMMIT every other
 * process would wait for the disk too. Under `synchronous=NORMAL` SQLite itself syncs what its file needs to stay whole, checkpoints and
 * the log that begins anew. What others do with a commit that is not synced yet stands behind it in the log, and is
 * acknowledged when the log is on the disk up to there: nobody outlives what he builds on.
 */
export class Durability {
  readonly #log: number | undefined;

  /** Of an open database: only then its log exists, and stays while the database is open. */
  constructor(databaseFile: string, { synchronous }: Pick<Settings, "synchronous">) {
    if (synchronous === "normal") return;
    this.#log = openBeside(`${databaseFile}-wal`);
    syncNames(dirname(databaseFile));
  }

  /** When it returns, everything that any process had committed before the call survives a loss of power, unless the option says NORMAL. Throws what the disk says. */
  sync(): void {
    if (this.#log !== undefined) fdatasyncSync(this.#log);
  }

  close(): void {
    if (this.#log !== undefined) closeSync(this.#log);
  }
}

/** The log's content is worth nothing without its name. */
function syncNames(folder: string): void {
  // Windows opens no folders, and keeps names by itself.
  if (process.platform === "win32") return;
  const descriptor = openSync(folder, constants.O_RDONLY);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
