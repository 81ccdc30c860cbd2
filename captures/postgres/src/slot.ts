import { escapeLiteral } from "pg";
import { WaybillError } from "@waybill/core";
import type { ReplicationLine } from "./line.ts";
import { readLsn } from "./lsn.ts";
import type { Settings } from "./options.ts";

/** Until where the slot's log has been confirmed; undefined where there is no slot. Error: STORAGE_INVALID for one that is another's. */
export async function confirmedOf(
  line: ReplicationLine,
  { slot, name }: Settings,
): Promise<bigint | undefined> {
  const [row] = await line.rows(
    `select plugin, database = current_database() as here, confirmed_flush_lsn as confirmed from pg_replication_slots where slot_name = ${escapeLiteral(slot)}`,
  );
  if (row === undefined) return undefined;
  if (row["plugin"] !== "pgoutput" || row["here"] !== "t")
    throw new WaybillError(
      "STORAGE_INVALID",
      `${name} cannot use the slot "${slot}": it is of another plugin or another database. Choose a name: capture({ slot }).`,
    );
  return readLsn(row["confirmed"] ?? "") ?? 0n;
}

/** From now on the server keeps its log. */
export async function makeSlot(line: ReplicationLine, { slot }: Settings): Promise<bigint> {
  const [row] = await line.rows(
    `select lsn from pg_create_logical_replication_slot(${escapeLiteral(slot)}, 'pgoutput')`,
  );
  return readLsn(row?.["lsn"] ?? "") ?? 0n;
}
