import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { StoreSubject } from "@waybill/testkit";
import { type SqliteOptions, type SqliteTransaction, sqlite } from "./index.ts";

export interface SqliteSubject extends StoreSubject<SqliteTransaction> {
  readonly file: string;
  /** The user's own connection. */
  readonly db: DatabaseSync;
}

/** A new file with a table of the user's own. */
export function subject(options: Omit<SqliteOptions, "file"> = {}): SqliteSubject {
  const directory = mkdtempSync(join(tmpdir(), "waybill-sqlite-"));
  const file = join(directory, "store.db");
  const db = new DatabaseSync(file, { timeout: 10_000 });
  db.exec("pragma journal_mode = wal; create table effect (text text not null) strict");
  const effects = db.prepare("select text from effect order by text");
  return {
    file,
    db,
    concurrent: false,
    expire: () => db.exec("update waybill_instance set until = 0"),
    factory: () => sqlite({ ...options, file }),
    write: (client, text) => void client.prepare("insert into effect (text) values (?)").run(text),
    written: async () => effects.all().map((row) => String(row["text"])),
    close: () => {
      db.close();
      rmSync(directory, { recursive: true });
    },
  };
}
