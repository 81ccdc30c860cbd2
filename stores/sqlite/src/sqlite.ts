import { DatabaseSync } from "node:sqlite";
import {
  type Migration,
  type Store,
  type StoreFactory,
  type StoreHost,
  WaybillError,
} from "@waybill/core";
import { lockClockOf } from "@waybill/core/adapter";
import type { SqliteTransaction } from "./client.ts";
import { storageError } from "./errors.ts";
import { checkVersion, migrate, migrations } from "./migrations.ts";
import { type Settings, type SqliteOptions, settingsOf } from "./options.ts";
import { SqliteStore } from "./store.ts";

export interface SqliteStoreFactory extends StoreFactory<SqliteTransaction> {
  readonly migrations: readonly Migration[];
  /** Applies what is missing of Waybill's own tables, and makes the file. Repeatable. Errors: STORAGE_BUSY, STORAGE_INVALID, STORAGE_FAILED. */
  migrate(): void;
}

/**
 * A SQLite file as the store of a service, on `node:sqlite`. Every process of the service names the same file, on one machine.
 * What is committed survives a crash of any process and a loss of power (`synchronous=FULL`).
 *
 * @example
 * const orders = sqlite({ file: "./orders.db" });
 * const ordering = service("ordering", { publishes: [OrderPlaced], store: orders });
 */
export function sqlite(options: SqliteOptions): SqliteStoreFactory {
  const settings = settingsOf(options);
  const { file, alarmAfterMs, takeOverAfterMs } = settings;
  return {
    name: `sqlite ${file}`,
    migrations,
    alarmAfterMs,
    takeOverAfterMs,
    migrate: () => {
      const db = openFile(settings);
      try {
        migrate(db);
      } catch (error) {
        throw storageError(error, file);
      } finally {
        db.close();
      }
    },
    open: (host) => open(settings, host),
  };
}

/** A migration of another process is waited for, here inside SQLite: nothing else runs yet. */
const openBusyMs = 10_000;

function openFile({ file }: Settings): DatabaseSync {
  let db: DatabaseSync;
  try {
    db = new DatabaseSync(file, { timeout: openBusyMs });
  } catch (error) {
    throw storageError(error, file);
  }
  try {
    if (file !== ":memory:") db.exec("pragma journal_mode = wal");
    db.exec("pragma synchronous = full");
    // Some builds have other defaults; what is promised is asserted.
    const [mode] = Object.values(db.prepare("pragma synchronous").get() ?? {});
    if (mode !== 2)
      throw new WaybillError(
        "STORAGE_FAILED",
        `"${file}" did not take synchronous=FULL, so that a loss of power could take what is committed.`,
      );
    return db;
  } catch (error) {
    db.close();
    throw storageError(error, file);
  }
}

async function open(settings: Settings, host: StoreHost): Promise<Store<SqliteTransaction>> {
  const { file } = settings;
  const db = openFile(settings);
  let reader: DatabaseSync | undefined;
  try {
    if (settings.migrate || file === ":memory:") migrate(db);
    checkVersion(db, file);
    // From here on nothing may wait inside SQLite.
    db.exec("pragma busy_timeout = 0");
    if (file !== ":memory:")
      reader = new DatabaseSync(file, { readOnly: true, timeout: openBusyMs });
    const store = new SqliteStore({
      db,
      reader,
      settings,
      host,
      lease: lockClockOf(host.environment.clock),
    });
    await store.outbox.renew(settings.takeOverAfterMs);
    return store;
  } catch (error) {
    reader?.close();
    db.close();
    throw storageError(error, file);
  }
}
