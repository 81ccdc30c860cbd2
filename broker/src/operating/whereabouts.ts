import type { Whereabouts } from "@waybill/core";
import type { Statements } from "../storage/statements.ts";

/** A message that was set aside. */
export interface AsideRow {
  readonly address: number;
  readonly attempt: number;
  /** Where it died, when it stands among the dead letters of another address. */
  readonly origin: number | null;
}

/** The number in a handle; 0, which no message has, where there is none. */
export function seqOf(handle: string): number {
  return /^\d{1,15}$/.test(handle) ? Number(handle) : 0;
}

export function whereaboutsOf(sql: Statements, seq: number): Whereabouts {
  if (sql.hasMessage.get(seq) === undefined)
    return sql.wasDiscarded.get(seq) === undefined ? "gone" : "discarded";
  if (sql.deadOf.get(seq) !== undefined) return "dead";
  return sql.deferredOf.get(seq) === undefined ? "waiting" : "deferred";
}
