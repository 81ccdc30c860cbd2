import { statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { WaybillError } from "@waybill/core";
import { isDamage, messageOf } from "../errors.ts";
import { schemaVersion } from "./migrations.ts";
import { pragma } from "./pragma.ts";
import { prepareStatements } from "./statements.ts";

/** Larger files are not looked through when they are opened, because that takes too long; messages are still checked one by one. */
const verifiedBytesMax = 16 * 1024 * 1024;

const places = ["ready", "locked", "scheduled", "deferred", "dead"] as const;
const placed = places.map((table) => `select seq, address from ${table}`).join(" union all ");
/** Messages that stand nowhere or in two places, and places without their message. */
const strays = `select (select count(*) from message) - (select count(*) from (${placed}))
  + (select count(*) from (${placed}) p left join message m on m.seq = p.seq where m.seq is null or (p.address > 0 and m.address <> p.address)) as count`;

/** Throws STORAGE_INVALID for a damaged file, of which it changes nothing. */
export function refuseDamaged(file: string): void {
  const bytes = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (bytes === 0 || bytes > verifiedBytesMax) return;
  try {
    const said = examine(file);
    if (said !== undefined) throw damaged(file, said);
  } catch (error) {
    if (isDamage(error)) throw damaged(file, messageOf(error));
    // Busy, or not to be read by itself: opening it for good says so.
    if (error instanceof WaybillError) throw error;
  }
}

function examine(file: string): string | undefined {
  const db = new DatabaseSync(file, { readOnly: true, timeout: 1_000 });
  try {
    // One moment for both: others may write meanwhile.
    db.exec("begin");
    const [said] = Object.values(db.prepare("pragma integrity_check(1)").get() ?? {});
    if (said !== "ok") return String(said);
    // A table or a column may have lost its name.
    if (pragma(db, "user_version") === schemaVersion) prepareStatements(db);
    const { count } = db.prepare(strays).get() as { count: number };
    return count === 0 ? undefined : "messages and their places do not match";
  } finally {
    db.close();
  }
}

function damaged(file: string, said: string): WaybillError {
  return new WaybillError(
    "STORAGE_INVALID",
    `"${file}" is damaged (${said}); it was left untouched. Keep a copy of it, then restore a backup or name another directory.`,
    { details: { file } },
  );
}
