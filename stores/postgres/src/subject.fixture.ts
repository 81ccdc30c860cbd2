import { Client } from "pg";
import type { StoreSubject } from "@waybill/testkit";
import { type PostgresOptions, type PostgresTransaction, postgres } from "./index.ts";

export const port = 5432;
const serverUrl = (at: number, database: string): string =>
  `postgres://postgres@127.0.0.1:${at}/${database}`;

export interface PostgresSubject extends StoreSubject<PostgresTransaction> {
  readonly database: string;
  readonly url: string;
  readonly client: Client;
}

/** A new database with a table of the user's own; `through` is the port by which the stores reach it. */
export async function subject(
  options: Omit<PostgresOptions, "url"> & { through?: number } = {},
): Promise<PostgresSubject> {
  const { through = port, ...rest } = options;
  const database = `waybill_${crypto.randomUUID().replaceAll("-", "")}`;
  await atServer(`create database ${database}`);
  const client = new Client(serverUrl(port, database));
  await client.connect();
  await client.query("create table effect (text text not null)");
  const url = serverUrl(through, database);
  return {
    database,
    url,
    client,
    concurrent: true,
    expire: async () => {
      await client.query("update waybill_instance set until = '-infinity'");
    },
    factory: () => postgres({ ...rest, url }),
    write: async (transaction, text) => {
      await transaction.query("insert into effect (text) values ($1)", [text]);
    },
    written: async () => {
      const { rows } = await client.query('select text from effect order by text collate "C"');
      return rows.map((row: { text: string }) => row.text);
    },
    close: async () => {
      await client.end();
      await atServer(`drop database ${database} with (force)`);
    },
  };
}

async function atServer(text: string): Promise<void> {
  const client = new Client(serverUrl(port, "postgres"));
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}
