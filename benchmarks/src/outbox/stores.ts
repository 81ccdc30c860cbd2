import { randomUUID } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { Client } from "pg";
import type { StoreFactory } from "@waybill/core";
import { type PostgresTransaction, postgres } from "@waybill/postgres";
import { type SqliteTransaction, sqlite } from "@waybill/sqlite";
import { temporaryDirectory } from "../directory.ts";

export type StoreKind = "none" | "sqlite" | "postgres";

/** Where the actors keep what they keep. */
export interface Place {
  readonly kind: StoreKind;
  /** The broker's, and that of the SQLite files. */
  readonly directory: string;
  /** One database for each service; empty where there is none. */
  readonly urls: { readonly ordering: string; readonly mailing: string };
}

const serverUrl = (database: string): string => `postgres://postgres@127.0.0.1:5432/${database}`;
const connectMsMax = 3_000;

/** Undefined when PostgreSQL does not listen here. */
export async function postgresVersion(): Promise<string | undefined> {
  const client = new Client({
    connectionString: serverUrl("postgres"),
    connectionTimeoutMillis: connectMsMax,
  });
  try {
    await client.connect();
    const { rows } = await client.query<{ server_version: string }>("show server_version");
    return `PostgreSQL ${rows[0]?.server_version}`;
  } catch {
    return undefined;
  } finally {
    await client.end().catch(() => undefined);
  }
}

export async function openPlace(kind: StoreKind): Promise<AsyncDisposable & Place> {
  await using cleaning = new AsyncDisposableStack();
  const { path: directory } = cleaning.use(await temporaryDirectory());
  const urls = { ordering: "", mailing: "" };
  if (kind === "postgres")
    for (const service of ["ordering", "mailing"] as const) {
      const database = cleaning.use(await openDatabase());
      urls[service] = database.url;
    }
  const closing = cleaning.move();
  return { kind, directory, urls, [Symbol.asyncDispose]: () => closing.disposeAsync() };
}

/** A database of its own on the server, dropped when disposed. */
export async function openDatabase(): Promise<AsyncDisposable & { readonly url: string }> {
  const name = `waybill_bench_${randomUUID().replaceAll("-", "")}`;
  await atServer(`create database ${name}`);
  return {
    url: serverUrl(name),
    [Symbol.asyncDispose]: () => atServer(`drop database ${name} with (force)`),
  };
}

/** The store of a service, and its table of rows that a handler writes. */
export interface Kept {
  readonly store?: StoreFactory;
  readonly write: (transaction: unknown, id: string, number: number) => void | Promise<unknown>;
}

export async function openStore(
  { kind, directory, urls }: Place,
  service: "ordering" | "mailing",
): Promise<Kept> {
  const table = "create table if not exists orders (id text primary key, number integer not null)";
  const insert = "insert into orders (id, number) values ";
  if (kind === "none") return { write: () => undefined };
  if (kind === "sqlite") {
    const file = `${directory}/${service}.db`;
    const db = new DatabaseSync(file);
    db.exec(table);
    db.close();
    return {
      store: sqlite({ file }),
      write: (transaction, id, number) =>
        void (transaction as SqliteTransaction).prepare(`${insert}(?, ?)`).run(id, number),
    };
  }
  const store = postgres({ url: urls[service], connectionsMax: 10 });
  const client = new Client({ connectionString: urls[service] });
  await client.connect();
  await client.query(table);
  await client.end();
  return {
    store,
    write: (transaction, id, number) =>
      (transaction as PostgresTransaction).query({
        name: "insert-order",
        text: `${insert}($1, $2)`,
        values: [id, number],
      }),
  };
}

async function atServer(text: string): Promise<void> {
  const client = new Client(serverUrl("postgres"));
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}
