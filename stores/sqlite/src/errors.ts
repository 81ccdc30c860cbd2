import { WaybillError } from "@waybill/core";

/** SQLite's primary result codes that are told apart (https://sqlite.org/rescode.html). */
const busy = 5;
const locked = 6;
const corrupt = 11;
const full = 13;
const constraint = 19;
const notADatabase = 26;

/** Another process writes at this moment. */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error);
  return code === busy || code === locked;
}

/** What was written breaks a rule of the schema that is checked at COMMIT. */
export function isConstraint(error: unknown): boolean {
  return resultCode(error) === constraint;
}

/** What the user gets to see of an error of the file. */
export function storageError(error: unknown, file: string): WaybillError {
  if (error instanceof WaybillError) return error;
  const shared = { cause: error, details: { file } };
  const why = error instanceof Error ? error.message : String(error);
  switch (resultCode(error)) {
    case busy:
    case locked:
      return new WaybillError(
        "STORAGE_BUSY",
        `Other processes kept "${file}" locked for too long. Let handlers await nothing slow inside their transaction, and look for a process that is stopped in the middle of one.`,
        { retryable: true, ...shared },
      );
    case full:
      return new WaybillError(
        "STORAGE_FULL",
        `"${file}" cannot grow: the disk is full. Give it more room; messages wait meanwhile.`,
        { retryable: true, ...shared },
      );
    case corrupt:
    case notADatabase:
      return new WaybillError(
        "STORAGE_INVALID",
        `"${file}" is damaged or no SQLite file (${why}). Keep a copy of it, then restore a backup or name another file.`,
        shared,
      );
    case constraint:
      return new WaybillError(
        "STORAGE_FAILED",
        `"${file}" refuses what was written: ${why}. A rule that is checked at COMMIT takes the transactions back that share it; each is tried again alone.`,
        { retryable: true, ...shared },
      );
    default:
      return new WaybillError(
        "STORAGE_FAILED",
        `The store in "${file}" failed: ${why}. Check the disk and the permissions of the folder.`,
        { retryable: true, ...shared },
      );
  }
}

function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number")
    return undefined;
  return error.errcode & 0xff;
}
