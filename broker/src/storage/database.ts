import { closeSync, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type Clock, type Environment, WaybillError } from "@waybill/core";
import { lockClockOf } from "@waybill/core/adapter";
import { makeDirectory } from "../processes/beside.ts";
import { isBusy, storageError } from "../errors.ts";
import { pause } from "../pause.ts";
import { migrate, migrations, schemaVersion } from "./migrations.ts";
import type { Settings } from "../options.ts";
import { pragma } from "./pragma.ts";
import { applicationId, schema } from "./schema.ts";
import { refuseDamaged } from "./verify.ts";

export interface Database {
  readonly file: string;
  readonly db: DatabaseSync;
}

const magic = "SQLite format 3\0";
const headerBytes = 100;
const journalMagic = Buffer.from("d9d505f920a163d7", "hex");
const journalPagesBeforeAt = 16;
const userVersionAt = 60;
const applicationIdAt = 68;
/** How long opening waits for other processes that open at the same time, and for the last heartbeat of a killed one of an older release. */
const openMsMax = 15_000;
const openRetryMs = 20;
const pageBytes = 8192;
const synchronousNormal = 1;
const cacheKibibytes = 32 * 1024;
/** What is left of the write-ahead log on the disk when it begins anew. */
const logBytesKept = 64 * 1024 * 1024;

/** Opens the broker's file, makes it when missing; throws STORAGE_INVALID for a file of somebody else, which stays as it is. */
export async function openDatabase(
  settings: Settings,
  environment: Environment,
): Promise<Database> {
  const file = join(settings.directory, "waybill.db");
  const deadline = environment.clock.monotonic() + openMsMax;
  for (;;) {
    try {
      makeDirectory(settings.directory);
      refuseForeign(file);
      refuseDamaged(file);
      return { file, db: openOnce(file, settings, environment.clock) };
    } catch (error) {
      if (!(isBusy(error) || isOlderLive(error)) || environment.clock.monotonic() >= deadline)
        throw storageError(error, file);
      await pause(environment, openRetryMs * (1 + environment.random()));
    }
  }
}

function isOlderLive(error: unknown): boolean {
  return error instanceof WaybillError && error.code === "STORAGE_BUSY";
}

function openOnce(file: string, settings: Settings, clock: Clock): DatabaseSync {
  const db = new DatabaseSync(file, { timeout: 1_000 });
  try {
    if (pragma(db, "application_id") !== applicationId) create(db, file);
    refuseNewer(pragma(db, "user_version"), file);
    configure(db, settings);
    migrate(db, { file, now: clock.now(), lockNow: lockClockOf(clock).now() });
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Made in rollback mode, so that the identity stands in the file itself and not in a log beside it, before anything else can read it. */
function create(db: DatabaseSync, file: string): void {
  db.exec(`pragma page_size = ${pageBytes}`);
  db.exec("begin exclusive");
  try {
    if (pragma(db, "application_id") !== applicationId) {
      const tables = db.prepare("select count(*) as count from sqlite_master").get() as {
        count: number;
      };
      if (tables.count > 0 || pragma(db, "application_id") !== 0) throw foreign(file);
      db.exec(schema);
      for (const step of migrations) db.exec(step);
      db.exec(`pragma application_id = ${applicationId}`);
      db.exec(`pragma user_version = ${schemaVersion}`);
    }
    db.exec("commit");
  } catch (error) {
    if (db.isTransaction) db.exec("rollback");
    throw error;
  }
}

function configure(db: DatabaseSync, settings: Settings): void {
  db.exec("pragma journal_mode = wal");
  // SQLite keeps the file whole; that commits are on the disk before they are acknowledged is seen to by `Durability`.
  db.exec("pragma synchronous = normal");
  // `Checkpoints` does it.
  db.exec("pragma wal_autocheckpoint = 0");
  db.exec(`pragma journal_size_limit = ${logBytesKept}`);
  db.exec(`pragma cache_size = -${cacheKibibytes}`);
  db.exec("pragma temp_store = memory");
  if (pragma(db, "journal_mode") !== "wal" || pragma(db, "synchronous") !== synchronousNormal) {
    throw new WaybillError(
      "STORAGE_INVALID",
      `SQLite did not accept journal_mode=WAL and synchronous=NORMAL for the file in "${settings.directory}". Put it on a local disk.`,
    );
  }
}

/** Looks at the bytes only: opening a file with SQLite may already write beside it. */
function refuseForeign(file: string): void {
  const header = readHeader(file);
  if (header === undefined || isHalfMade(file)) return;
  if (header.toString("latin1", 0, magic.length) !== magic) throw foreign(file);
  const id = header.readUInt32BE(applicationIdAt);
  if (id !== applicationId) throw foreign(file);
  refuseNewer(header.readUInt32BE(userVersionAt), file);
}

/** Power failed while the file was made: its journal says that nothing stood in it before, and SQLite will empty it again. */
function isHalfMade(file: string): boolean {
  const journal = readHeader(`${file}-journal`);
  return (
    journal !== undefined &&
    journal.subarray(0, journalMagic.length).equals(journalMagic) &&
    journal.readUInt32BE(journalPagesBeforeAt) === 0
  );
}

/** Undefined when there is no file yet, or an empty one. */
function readHeader(file: string): Buffer | undefined {
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) === 0) return undefined;
  const header = Buffer.alloc(headerBytes);
  const descriptor = openSync(file, "r");
  try {
    readSync(descriptor, header, 0, headerBytes, 0);
  } finally {
    closeSync(descriptor);
  }
  return header;
}

function foreign(file: string): WaybillError {
  return new WaybillError(
    "STORAGE_INVALID",
    `"${file}" is not a file of this broker; it was left untouched. Name another directory.`,
    { details: { file } },
  );
}

function refuseNewer(version: unknown, file: string): void {
  if (typeof version === "number" && version >= 1 && version <= schemaVersion) return;
  throw new WaybillError(
    "STORAGE_INVALID",
    `"${file}" has schema version ${String(version)}; this release of @waybill/broker knows ${schemaVersion}. It was left untouched. Use the release that wrote it, or a newer one.`,
    { details: { file } },
  );
}
