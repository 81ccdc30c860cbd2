import { escapeIdentifier, escapeLiteral } from "pg";
import { type Outgoing, WaybillError } from "@waybill/core";
import { type MessageParts, outgoing } from "./changes.ts";
import { type CapturedTable, tableName } from "./captured.ts";
import type { ReplicationLine } from "./line.ts";
import { confirmedOf } from "./slot.ts";
import { Plan } from "./plans.ts";
import type { Publisher } from "./publisher.ts";
import { quoted } from "./setup.ts";

export interface SnapshotParts extends MessageParts {
  readonly line: ReplicationLine;
  readonly publisher: Publisher;
  /** No other process makes it, and none has. */
  readonly begun: () => void;
}

const rowsFirst = 100;
const rowsMost = 2_000;
/** What is read from the server at once, about. */
const bytesWanted = 1024 * 1024;

/** The slot under which a snapshot is made. It is temporary: it goes with its line. */
export function snapshotSlot(slot: string): string {
  return `${slot}_snapshot`;
}

/**
 * Publishes all rows as they stand at the place where the slot begins, then makes the slot. So where the slot is there, the snapshot is whole: who dies
 * in its middle leaves none, and the next begins anew. A version of a row has the same id in both. Answers where the slot begins. Rejects with the code
 * 42710 while another process makes it.
 */
export async function takeSnapshot(parts: SnapshotParts, signal: AbortSignal): Promise<bigint> {
  const { line, settings } = parts;
  const temporary = snapshotSlot(settings.slot);
  await line.rows("begin transaction isolation level repeatable read read only");
  await line.rows(
    `CREATE_REPLICATION_SLOT ${escapeIdentifier(temporary)} TEMPORARY LOGICAL pgoutput USE_SNAPSHOT`,
  );
  // Who was quicker has made it whole meanwhile.
  const made = await confirmedOf(line, settings);
  if (made === undefined) {
    parts.begun();
    // Else rows that a policy hides would be missing in silence.
    await line.rows("set local row_security = off");
    for (const captured of settings.tables) await publishTable(parts, captured, signal);
  }
  await line.rows("commit");
  if (made === undefined)
    await line.rows(
      `select pg_copy_logical_replication_slot(${escapeLiteral(temporary)}, ${escapeLiteral(settings.slot)}, false)`,
    );
  await line.rows(`DROP_REPLICATION_SLOT ${escapeIdentifier(temporary)}`);
  const confirmed = made ?? (await confirmedOf(line, settings));
  if (confirmed !== undefined) return confirmed;
  throw new WaybillError(
    "STORAGE_FAILED",
    `${settings.name} made its slot and cannot find it. See who drops "${settings.slot}"; it is tried again.`,
    { retryable: true },
  );
}

async function publishTable(
  parts: SnapshotParts,
  captured: CapturedTable,
  signal: AbortSignal,
): Promise<void> {
  const { line, found } = parts;
  const types = await typesOf(line, captured);
  const names = Object.keys(captured.columns).filter((name) => types.has(name));
  const only = found.partitioned.has(tableName(captured)) ? "" : "only ";
  await line.rows(
    `declare waybill_rows no scroll cursor for select tableoid, ctid, xmin, ${names.map(escapeIdentifier).join(", ")} from ${only}${quoted(captured)}`,
  );
  const columns = names.map((name) => ({ name, type: types.get(name) ?? 0 }));
  const plan = new Plan(captured, { columns }, found.baseTypes);
  let wanted = rowsFirst;
  for (;;) {
    signal.throwIfAborted();
    const rows = await line.lists(`fetch ${wanted} from waybill_rows`);
    if (rows.length === 0) break;
    await publishRows(parts, { captured, plan, rows }, signal);
    const bytes = rows.reduce((sum, row) => sum + sizeOf(row), 0);
    const fitting = Math.floor((bytesWanted * rows.length) / Math.max(1, bytes));
    wanted = Math.min(rowsMost, Math.max(1, fitting));
  }
  await line.rows("close waybill_rows");
}

interface Page {
  readonly captured: CapturedTable;
  readonly plan: Plan;
  readonly rows: readonly (readonly (string | null)[])[];
}

async function publishRows(
  parts: SnapshotParts,
  { captured, plan, rows }: Page,
  signal: AbortSignal,
): Promise<void> {
  const { publisher, settings } = parts;
  const moment = { lsn: undefined, transaction: undefined, committedAt: undefined };
  let batch: Outgoing[] = [];
  for (const [table, place, xmin, ...values] of rows) {
    const row = plan.row(values);
    const value = await plan.map({ ...moment, kind: "read", row });
    if (value === undefined) continue;
    // One version of one row. A change of the log has another id: it comes later and says more.
    const version = `${table}${place?.replace(",", "-")}${xmin}`;
    batch.push(await outgoing(parts, captured, { value, place: version, what: "a row" }));
    if (batch.length < settings.batchMax) continue;
    await publisher.deliver(batch, signal);
    batch = [];
  }
  if (batch.length > 0) await publisher.deliver(batch, signal);
}

async function typesOf(
  line: ReplicationLine,
  captured: CapturedTable,
): Promise<ReadonlyMap<string, number>> {
  const rows = await line.rows(
    `select attname as name, atttypid as type from pg_attribute where attrelid = ${escapeLiteral(quoted(captured))}::regclass and attnum > 0 and not attisdropped`,
  );
  return new Map(rows.map(({ name, type }) => [name ?? "", Number(type)]));
}

function sizeOf(row: readonly (string | null)[]): number {
  return row.reduce((sum, text) => sum + (text?.length ?? 0), 0);
}
