import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** Where the services of one process keep their data: a SQLite file for each. No service opens another's. */
export class DataDirectory implements Disposable {
  readonly #directory: string | undefined;
  readonly #databases: DatabaseSync[] = [];

  /** Without a directory everything is in memory: for tests. */
  constructor(directory?: string) {
    this.#directory = directory;
    if (directory !== undefined) mkdirSync(directory, { recursive: true });
  }

  open(service: string, schema: string): DatabaseSync {
    const file =
      this.#directory === undefined ? ":memory:" : join(this.#directory, `${service}.db`);
    const db = new DatabaseSync(file, { timeout: 5_000 });
    this.#databases.push(db);
    db.exec("pragma journal_mode = wal; pragma synchronous = full;");
    transaction(db, () => db.exec(schema));
    return db;
  }

  [Symbol.dispose](): void {
    for (const db of this.#databases) db.close();
  }
}

/** All of it or nothing, also when another process writes to the same file. */
export function transaction<Result>(db: DatabaseSync, work: () => Result): Result {
  db.exec("begin immediate");
  try {
    const result = work();
    db.exec("commit");
    return result;
  } catch (error) {
    db.exec("rollback");
    throw error;
  }
}
