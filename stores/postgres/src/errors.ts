import { WaybillError } from "@waybill/core";

/** What PostgreSQL and its client say (https://www.postgresql.org/docs/current/errcodes-appendix.html). */
export function storageError(error: unknown, name: string): WaybillError {
  if (error instanceof WaybillError) return error;
  const code = codeOf(error);
  const why = error instanceof Error ? error.message || code : String(error);
  const shared = { cause: error, details: { store: name, code } };
  if (code.startsWith("28"))
    return new WaybillError(
      "UNAUTHORISED",
      `${name} refuses the user: ${why}. Check the user and the password of its URL.`,
      shared,
    );
  if (code === "42P01" || code === "42703")
    return new WaybillError(
      "STORAGE_INVALID",
      `${name} lacks Waybill's tables: ${why}. Call store.migrate() when you deploy, or apply store.migrations.`,
      shared,
    );
  if (code === "53100")
    return new WaybillError(
      "STORAGE_FULL",
      `${name} cannot grow: ${why}. Give it more room; messages wait meanwhile.`,
      { retryable: true, ...shared },
    );
  if (code === "53300" || code === "55P03")
    return new WaybillError("STORAGE_BUSY", `${name} is busy: ${why}. It is tried again.`, {
      retryable: true,
      ...shared,
    });
  return new WaybillError(
    "STORAGE_FAILED",
    `${name} failed: ${why}. See that the server runs and can be reached; what failed is tried again.`,
    { retryable: true, ...shared },
  );
}

/**
 * How a COMMIT ended that rejected. The server answers a refusal with its code, and nothing is stored; a line that broke, or a server that is being
 * stopped, says nothing about it.
 */
export function commitError(error: unknown, name: string): WaybillError {
  const code = codeOf(error);
  const isAnswered = /^[0-9A-Z]{5}$/.test(code) && !/^(08|57P|58|XX)/.test(code);
  if (isAnswered) return storageError(error, name);
  return new WaybillError(
    "COMMIT_UNKNOWN",
    `${name} went away while it committed, so that the transaction is stored or not. A message comes again, and its record says which; outside a handler look at your data before you repeat it.`,
    { retryable: true, cause: error },
  );
}

function codeOf(error: unknown): string {
  const code: unknown = (Object(error) as { readonly code?: unknown }).code;
  return typeof code === "string" ? code : "";
}
