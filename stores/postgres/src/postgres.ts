import { Pool } from "pg";
import type { Migration, Store, StoreFactory, StoreHost } from "@waybill/core";
import type { PostgresTransaction } from "./client.ts";
import { storageError } from "./errors.ts";
import { checkVersion, migrate, migrations } from "./migrations.ts";
import { type PostgresOptions, type Settings, settingsOf } from "./options.ts";
import { PostgresStore } from "./store.ts";

export interface PostgresStoreFactory extends StoreFactory<PostgresTransaction> {
  readonly migrations: readonly Migration[];
  /** Applies what is missing of Waybill's own tables. Repeatable. Errors: STORAGE_FAILED, UNAUTHORISED. */
  migrate(): Promise<void>;
}

/**
 * A PostgreSQL database as the store of a service, over `pg`. What is committed is as durable as the server's `synchronous_commit`.
 *
 * @example
 * const orders = postgres({ url: "postgres://ordering@localhost/ordering" });
 * const ordering = service("ordering", { publishes: [OrderPlaced], store: orders });
 */
export function postgres(options: PostgresOptions): PostgresStoreFactory {
  const settings = settingsOf(options);
  const { name, alarmAfterMs, takeOverAfterMs } = settings;
  return {
    name,
    migrations,
    alarmAfterMs,
    takeOverAfterMs,
    migrate: async () => {
      const pool = toPool(settings, () => undefined);
      try {
        await prepare(pool, { ...settings, migrate: true });
      } finally {
        await pool.end();
      }
    },
    open: (host) => open(settings, host),
  };
}

/** For the outbox, beside the transactions. */
const besideMax = 1;

function toPool(
  { url, connectionsMax, connectMsMax }: Settings,
  failed: (error: Error) => void,
): Pool {
  const pool = new Pool({
    connectionString: url,
    max: connectionsMax + besideMax,
    connectionTimeoutMillis: connectMsMax,
    keepAlive: true,
    // BEGIN goes with the claim, and COMMIT with what is sent: three round trips for a message in place of five.
    pipeline: true,
    application_name: "waybill",
  });
  // Of a connection that nobody uses, and of one that a transaction has: that one rejects its query by itself.
  pool.on("error", failed);
  pool.on("connect", (client) => client.on("error", () => undefined));
  return pool;
}

async function open(settings: Settings, host: StoreHost): Promise<Store<PostgresTransaction>> {
  const { logger } = host;
  const pool = toPool(settings, ({ message }) =>
    logger.warn(`${settings.name} closed a connection that was at rest: ${message}`),
  );
  try {
    await prepare(pool, settings);
    const store = new PostgresStore(pool, settings, host);
    await store.outbox.renew(settings.takeOverAfterMs);
    return store;
  } catch (error) {
    await pool.end();
    throw storageError(error, settings.name);
  }
}

async function prepare(pool: Pool, settings: Settings): Promise<void> {
  try {
    const client = await pool.connect();
    try {
      if (settings.migrate) await migrate(client);
      await checkVersion(client, settings.name);
    } finally {
      client.release();
    }
  } catch (error) {
    throw storageError(error, settings.name);
  }
}
