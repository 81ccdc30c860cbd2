import type { AddressState } from "@waybill/core";
import { lockClockOf } from "@waybill/core/adapter";
import { type Address, settingsOf } from "../addresses.ts";
import type { Connection } from "../storage/connection.ts";
import type { Kept } from "./depths.ts";
import type { Statements } from "../storage/statements.ts";

export type Counting =
  | "countReady"
  | "countReadySessions"
  | "countLocked"
  | "countScheduled"
  | "countDeferred"
  | "countDead";

/** What stands at an address. Counting takes time with the count, so `depths` keeps large ones for a while; delivering pays nothing for it. */
export function stateOf(
  { sql, environment }: Connection,
  address: Address,
  depths: Kept<number>,
): AddressState {
  const { id, kind, keepsSessions } = address;
  const log = kind === "stream" ? logOf(sql, id) : noLog;
  const oldest = earliest(log.oldest, oldestReady(sql, id, keepsSessions));
  const depth = (counting: Counting): number =>
    depths.of(`${counting} ${id}`, () => count(sql[counting].get(id)));
  return {
    ...settingsOf(address),
    ready: depth("countReady") + depth("countReadySessions") + log.pending,
    inFlight: depth("countLocked") + log.begun,
    scheduled: depth("countScheduled"),
    deferred: depth("countDeferred"),
    dead: depth("countDead"),
    oldestReadyMs: oldest === null ? 0 : Math.max(0, environment.clock.now() - oldest),
    receivers: count(sql.countReceivers.get(id, lockClockOf(environment.clock).now())),
  };
}

export const noLog: LogState = { ends: 0, pending: 0, begun: 0, oldest: null };

export interface LogState {
  /** Items that were ever appended to the partitions. */
  readonly ends: number;
  /** Items not committed. */
  readonly pending: number;
  /** Of these, what members have been handed. */
  readonly begun: number;
  readonly oldest: number | null;
}

export function logOf(sql: Statements, address: number): LogState {
  const { ends, pending, begun } = sql.groupProgress.get(address) as {
    ends: number | null;
    pending: number | null;
    begun: number | null;
  };
  const { oldest } = sql.groupOldest.get(address) as { oldest: number | null };
  return { ends: ends ?? 0, pending: pending ?? 0, begun: begun ?? 0, oldest };
}

function oldestReady(sql: Statements, address: number, sessions: boolean): number | null {
  const row = sql.oldestReady.get(address) as { at: number } | undefined;
  if (!sessions) return row?.at ?? null;
  const { at } = sql.oldestReadySessions.get(address) as { at: number | null };
  return earliest(row?.at ?? null, at);
}

export function earliest(left: number | null, right: number | null): number | null {
  if (left === null || right === null) return left ?? right;
  return Math.min(left, right);
}

export function count(row: unknown): number {
  return (row as { count: number }).count;
}
