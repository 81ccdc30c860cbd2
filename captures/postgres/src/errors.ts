import { WaybillError } from "@waybill/core";

/** What PostgreSQL and its client say (https://www.postgresql.org/docs/current/errcodes-appendix.html). */
export function captureError(error: unknown, name: string): WaybillError {
  if (error instanceof WaybillError) return error;
  const code = codeOf(error);
  const why = error instanceof Error ? error.message || code : String(error);
  const shared = { cause: error, details: { capture: name, code } };
  if (code.startsWith("28") || code === "42501")
    return new WaybillError(
      "UNAUTHORISED",
      `${name} is refused: ${why}. Its user needs LOGIN and REPLICATION (alter role … replication), SELECT on the tables for the snapshot, and to make the publication CREATE on the database and the tables' ownership; else make it by hand: print capture.sql.`,
      shared,
    );
  if (code === "53400")
    return new WaybillError(
      "STORAGE_FULL",
      `${name} cannot have a slot: ${why}. Raise max_replication_slots, or drop slots that nobody reads (select * from pg_replication_slots where not active).`,
      shared,
    );
  if (code === "55000" && /slot/.test(why))
    return new WaybillError(
      "STORAGE_FAILED",
      `${name} has lost its place in the log: ${why}. Changes are gone. Drop the slot and start again: with snapshot "initial" the present rows are published anew; raise max_slot_wal_keep_size against the next time.`,
      shared,
    );
  if (code === "55000")
    return new WaybillError("NOT_SUPPORTED", `${name} cannot read the log: ${why}.`, shared);
  return new WaybillError(
    "STORAGE_FAILED",
    `${name} failed: ${why}. See that the server runs and can be reached; it is tried again.`,
    { retryable: true, ...shared },
  );
}

/** Somebody else has the slot, or makes the snapshot. */
export function isTaken(error: unknown): boolean {
  return ["55006", "42710"].includes(codeOf(error));
}

/** What a row holds, or what is made of it: no repetition mends it. */
export function isOfRows(error: unknown): boolean {
  const codes = ["STORAGE_INVALID", "DECODE_FAILED", "MESSAGE_INVALID", "BODY_TOO_LARGE"];
  return error instanceof WaybillError && codes.includes(error.code);
}

/** The server is being stopped. */
export function isStopping(error: unknown): boolean {
  return ["57P01", "57P02", "57P03"].includes(codeOf(error));
}

function codeOf(error: unknown): string {
  const code: unknown = (Object(error) as { readonly code?: unknown }).code;
  return typeof code === "string" ? code : "";
}
