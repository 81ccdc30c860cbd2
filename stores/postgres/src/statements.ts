import type { ClientBase } from "pg";
import { storageError } from "./errors.ts";

export interface Statement {
  /** The server keeps what it has parsed under this name. */
  readonly name: string;
  readonly text: string;
  readonly values: readonly unknown[];
}

export type Run = <Row = unknown>(statement: Statement) => Promise<readonly Row[]>;

/** Runs statements one by one. Errors: as `storageError` tells them. */
export function running(client: Pick<ClientBase, "query">, store: string): Run {
  return async <Row>({ name, text, values }: Statement) => {
    try {
      const { rows } = await client.query({ name, text, values: [...values] });
      return rows as Row[];
    } catch (error) {
      throw storageError(error, store);
    }
  };
}

/** The same inside a transaction. `check` throws when there is none any more: what is written then would be stored alone. */
export function runningInside(client: ClientBase, store: string, check: () => void): Run {
  const ask = running(client, store);
  // BEGIN is on its way with the first statement.
  let isBegun = false;
  return async <Row>(statement: Statement) => {
    if (isBegun) check();
    const rows = await ask<Row>(statement);
    isBegun = true;
    check();
    return rows;
  };
}
