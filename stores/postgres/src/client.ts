import type { ClientBase } from "pg";
import { WaybillError } from "@waybill/core";

/**
 * What a handler sees of its transaction in `context.transaction`: `query`, as a client of `pg` has it. It ends with the handler: what is called
 * afterwards rejects with CLOSED. Waybill begins, commits and rolls back; savepoints are yours. The line is pipelined, so `pg` refuses cursors
 * and query streams on it: read page by page.
 */
export type PostgresTransaction = Pick<ClientBase, "query">;

const denied =
  /(?:^|;)\s*(begin|start\s+transaction|commit|end|abort|rollback(?!\s+(work\s+|transaction\s+)?to\b)|prepare\s+transaction)\b/i;
/** Comments, and what is quoted: nothing in them is a statement. */
const quoted =
  /--[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^']|'')*'|"(?:[^"]|"")*"|(\$[A-Za-z_]*\$)[\s\S]*?\1/g;

/** The transaction of one handler, and how it is ended. */
export function clientView(client: ClientBase): { view: PostgresTransaction; close: () => void } {
  let isClosed = false;
  const query = (...args: unknown[]): unknown => {
    const fault = isClosed ? ended() : refusal(args[0]);
    if (fault !== undefined) return Promise.reject(fault);
    return Reflect.apply(Reflect.get(client, "query"), client, args);
  };
  const close = (): void => {
    isClosed = true;
  };
  return { view: { query } as PostgresTransaction, close };
}

function refusal(asked: unknown): WaybillError | undefined {
  const text: unknown =
    typeof asked === "string" ? asked : (Object(asked) as { readonly text?: unknown }).text;
  if (typeof text !== "string" || !denied.test(text.replace(quoted, " "))) return undefined;
  return new WaybillError(
    "NOT_SUPPORTED",
    "Waybill begins, commits and rolls back the transaction of a handler. Throw to roll it back, or use a savepoint.",
  );
}

function ended(): WaybillError {
  return new WaybillError(
    "CLOSED",
    "The transaction of this handler has ended. Await everything inside the handler, and use its transaction nowhere else.",
  );
}
