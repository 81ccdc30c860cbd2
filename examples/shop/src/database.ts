import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type SqliteStoreFactory, sqlite } from "@waybill/sqlite";

/** Where the services of one process keep their data: a SQLite file for each. No service opens another's. */
export class DataDirectory implements Disposable {
  readonly #directory: string | undefined;
  readonly #databases: DatabaseSync[] = [];
  #temporary: string | undefined;

  /** Without a directory everything is in memory, and the files of stores are removed in the end: for tests. */
  constructor(directory?: string) {
    this.#directory = directory;
    if (directory !== undefined) mkdirSync(directory, { recursive: true });
  }

  open(service: string, schema: string): DatabaseSync {
    const isInMemory = this.#directory === undefined;
    return this.#connect(isInMemory ? ":memory:" : join(this.#directory, `${service}.db`), schema);
  }

  /** A store of Waybill's, and a connection of one's own to read what is written through it. */
  openStore(service: string, schema: string): { db: DatabaseSync; store: SqliteStoreFactory } {
    return { db: this.#connect(this.#storeFile(service), schema), store: this.store(service) };
  }

  /** A store in which nobody but Waybill writes. */
  store(service: string): SqliteStoreFactory {
    return sqlite({ file: this.#storeFile(service) });
  }

  #storeFile(service: string): string {
    return join(this.#directory ?? this.#ownTemporary(), `${service}.db`);
  }

  #ownTemporary(): string {
    this.#temporary ??= mkdtempSync(join(tmpdir(), "waybill-shop-"));
    return this.#temporary;
  }

  #connect(file: string, schema: string): DatabaseSync {
    const db = new DatabaseSync(file, { timeout: 5_000 });
    this.#databases.push(db);
    db.exec("pragma journal_mode = wal; pragma synchronous = full;");
    transaction(db, () => db.exec(schema));
    return db;
  }

  [Symbol.dispose](): void {
    for (const db of this.#databases) db.close();
    if (this.#temporary !== undefined) rmSync(this.#temporary, { recursive: true, force: true });
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
