import { WaybillError } from "@waybill/core";

export interface PostgresOptions {
  /** The service's own database: `postgres://user:password@host/database`. */
  readonly url: string;
  /** The most connections of one process, 1 to 200. Default 10. One more is used for the outbox. */
  readonly connectionsMax?: number;
  /**
   * Applies what is missing of Waybill's own tables when the bus connects. Default true. With false a database without them is refused: apply
   * `store.migrations` by your own means, or call `store.migrate()` when you deploy.
   */
  readonly migrate?: boolean;
  /** How long the inbox remembers that a message was handled, in milliseconds, from one minute. Default 7 days. */
  readonly inboxMs?: number;
  /** How long connecting may take, in milliseconds, 100 to 60,000. Default 5,000. */
  readonly connectMsMax?: number;
  /**
   * After how long without a sign of life another process sends what this one has committed, in milliseconds, 3,000 to 600,000. Default 10,000. A
   * process that wakes later has lost its rows: what it sent twice carries the same id.
   */
  readonly takeOverAfterMs?: number;
  /** From which age of the oldest unsent message `bus.health()` says degraded (default 30,000 ms), and failed (default 600,000 ms). */
  readonly alarmAfterMs?: { readonly degraded?: number; readonly failed?: number };
}

export interface Settings {
  readonly url: string;
  /** Without the password. */
  readonly name: string;
  readonly connectionsMax: number;
  readonly migrate: boolean;
  readonly inboxMs: number;
  readonly connectMsMax: number;
  readonly takeOverAfterMs: number;
  readonly alarmAfterMs: { readonly degraded: number; readonly failed: number };
}

const dayMs = 86_400_000;

/** Throws OPTION_INVALID. */
export function settingsOf(options: PostgresOptions): Settings {
  const { url, connectionsMax = 10, migrate = true, inboxMs = 7 * dayMs } = options;
  const { connectMsMax = 5_000, takeOverAfterMs = 10_000 } = options;
  const alarmAfterMs = { degraded: 30_000, failed: 600_000, ...options.alarmAfterMs };
  if (!URL.canParse(url) || !/^postgres(ql)?:/.test(url))
    throw invalid("url", "a URL as postgres://user@host/database");
  if (typeof migrate !== "boolean") throw invalid("migrate", "true or false");
  check("connectionsMax", connectionsMax, [1, 200]);
  check("inboxMs", inboxMs, [60_000, 3_650 * dayMs]);
  check("connectMsMax", connectMsMax, [100, 60_000]);
  check("takeOverAfterMs", takeOverAfterMs, [3_000, 600_000]);
  check("alarmAfterMs.degraded", alarmAfterMs.degraded, [1, 3_650 * dayMs]);
  check("alarmAfterMs.failed", alarmAfterMs.failed, [1, 3_650 * dayMs]);
  const { host, pathname } = new URL(url);
  const name = `postgres ${host}${pathname}`;
  const waits = { inboxMs, connectMsMax, takeOverAfterMs, alarmAfterMs };
  return { url, name, connectionsMax, migrate, ...waits };
}

function check(name: string, value: number, [least, most]: readonly [number, number]): void {
  if (!Number.isSafeInteger(value) || value < least || value > most)
    throw invalid(name, `a whole number from ${least} to ${most}`);
}

/** The value is not shown: a URL may hold a password. */
function invalid(name: string, wanted: string): WaybillError {
  return new WaybillError("OPTION_INVALID", `postgres({ ${name} }) takes ${wanted}.`);
}
