import { resolve } from "node:path";
import { WaybillError } from "@waybill/core";

export interface SqliteOptions {
  /** The service's own database, made when it is missing; ":memory:" for one that lives as long as the bus, for tests. On a local disk. */
  readonly file: string;
  /**
   * Applies what is missing of Waybill's own tables when the bus connects. Default true. With false a file without them is refused: apply
   * `store.migrations` by your own means, or call `store.migrate()` when you deploy.
   */
  readonly migrate?: boolean;
  /** How long the inbox remembers that a message was handled, in milliseconds, from one minute. Default 7 days. */
  readonly inboxMs?: number;
  /** How long a transaction waits while another process writes into the file, in milliseconds, 1 to 60,000. Default 10,000; then STORAGE_BUSY. */
  readonly busyMsMax?: number;
  /**
   * After how long without a sign of life another process sends what this one has committed, in milliseconds, 3,000 to 600,000. Default 10,000. A
   * process that wakes later has lost its rows: what it sent twice carries the same id.
   */
  readonly takeOverAfterMs?: number;
  /** From which age of the oldest unsent message `bus.health()` says degraded (default 30,000 ms), and failed (default 600,000 ms). */
  readonly alarmAfterMs?: { readonly degraded?: number; readonly failed?: number };
}

export interface Settings {
  readonly file: string;
  readonly migrate: boolean;
  readonly inboxMs: number;
  readonly busyMsMax: number;
  readonly takeOverAfterMs: number;
  readonly alarmAfterMs: { readonly degraded: number; readonly failed: number };
}

const dayMs = 86_400_000;

/** Throws OPTION_INVALID. */
export function settingsOf(options: SqliteOptions): Settings {
  const { file, migrate = true, inboxMs = 7 * dayMs, busyMsMax = 10_000 } = options;
  const { takeOverAfterMs = 10_000 } = options;
  const alarmAfterMs = { degraded: 30_000, failed: 600_000, ...options.alarmAfterMs };
  if (typeof file !== "string" || file === "")
    throw invalid("file", "the path of a file, or “:memory:”", file);
  if (typeof migrate !== "boolean") throw invalid("migrate", "true or false", migrate);
  checkMs("inboxMs", inboxMs, [60_000, 3_650 * dayMs]);
  checkMs("busyMsMax", busyMsMax, [1, 60_000]);
  checkMs("takeOverAfterMs", takeOverAfterMs, [3_000, 600_000]);
  checkMs("alarmAfterMs.degraded", alarmAfterMs.degraded, [1, 3_650 * dayMs]);
  checkMs("alarmAfterMs.failed", alarmAfterMs.failed, [1, 3_650 * dayMs]);
  const place = file === ":memory:" ? file : resolve(file);
  return { file: place, migrate, inboxMs, busyMsMax, takeOverAfterMs, alarmAfterMs };
}

function checkMs(name: string, value: number, [least, most]: readonly [number, number]): void {
  if (!Number.isSafeInteger(value) || value < least || value > most)
    throw invalid(name, `a whole number of milliseconds from ${least} to ${most}`, value);
}

function invalid(name: string, wanted: string, value: unknown): WaybillError {
  return new WaybillError(
    "OPTION_INVALID",
    `sqlite({ ${name} }) takes ${wanted}, not ${JSON.stringify(value)}.`,
  );
}
