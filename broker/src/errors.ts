import { WaybillError } from "@waybill/core";

/** SQLite's primary result codes that the broker tells apart (https://sqlite.org/rescode.html). */
const sqliteError = 1;
const sqliteBusy = 5;
const sqliteLocked = 6;
const sqliteCorrupt = 11;
const sqliteFull = 13;
const sqliteNotADatabase = 26;

/** Another process holds the file's write lock for the moment. */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error);
  return code === sqliteBusy || code === sqliteLocked;
}

/** The file is not what SQLite or the broker wrote; a table whose name was damaged is a plain error of the statement. */
export function isDamage(error: unknown): boolean {
  const code = resultCode(error);
  return code === sqliteCorrupt || code === sqliteNotADatabase || code === sqliteError;
}

/** The broker works and said no to what was to be stored. */
export function isRefusal({ code }: WaybillError): boolean {
  return (
    code === "UNROUTABLE" ||
    code === "BODY_TOO_LARGE" ||
    code === "MESSAGE_INVALID" ||
    code === "STORAGE_FULL"
  );
}

/** What the user gets to see of an error of the storage. */
export function storageError(error: unknown, file: string): WaybillError {
  if (error instanceof WaybillError) return error;
  const details = { file };
  switch (resultCode(error)) {
    case sqliteBusy:
    case sqliteLocked:
      return new WaybillError(
        "STORAGE_BUSY",
        `Other processes kept "${file}" locked for too long. Try again; if it stays so, look for a process that is stopped in the middle of a write.`,
        { retryable: true, cause: error, details },
      );
    case sqliteFull:
      return new WaybillError(
        "STORAGE_FULL",
        `"${file}" cannot grow: the disk or the quota is full. Handle or discard waiting messages, or give it more room.`,
        { retryable: true, cause: error, details },
      );
    case sqliteCorrupt:
    case sqliteNotADatabase:
      return new WaybillError(
        "STORAGE_INVALID",
        `"${file}" is damaged or is not a broker's file (${messageOf(error)}). Keep a copy of it, then restore a backup or name another directory.`,
        { cause: error, details },
      );
    default:
      return new WaybillError(
        "STORAGE_FAILED",
        `The storage in "${file}" failed: ${messageOf(error)}. Check the disk and the permissions of the folder.`,
        { retryable: true, cause: error, details },
      );
  }
}

function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number")
    return undefined;
  return error.errcode & 0xff;
}

/** A text for anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
