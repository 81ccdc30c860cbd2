import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { Worker } from "node:worker_threads";
import { WaybillError } from "@waybill/core";
import { storageError } from "../errors.ts";

export interface BackupOptions {
  /** The folder of the broker: what `embedded({ directory })` names. */
  readonly directory: string;
  /** Where the copy goes. It must not exist, and its folder must. */
  readonly file: string;
}

/**
 * Copies the broker's data into one file while any number of processes work with it, and holds none of them up: the copy is made in a thread of
 * its own and holds exactly what was stored at one moment after the call. The file appears under its name when it is whole and on the disk.
 * To restore it, stop every process and put it as `waybill.db` into an empty folder; what was handled since then comes again.
 * Errors: OPTION_INVALID, NOT_FOUND, STORAGE_INVALID, STORAGE_FULL, STORAGE_FAILED; then there is no file.
 */
export async function backup({ directory, file }: BackupOptions): Promise<void> {
  const source = join(directory, "waybill.db");
  const target = resolve(file);
  const part = `${target}.part`;
  if (!existsSync(source)) {
    throw new WaybillError(
      "NOT_FOUND",
      `There is no broker in "${directory}": "${source}" does not exist. Name the folder that embedded({ directory }) names.`,
    );
  }
  for (const each of [target, part]) {
    if (!existsSync(each)) continue;
    throw new WaybillError(
      "OPTION_INVALID",
      `"${each}" exists already, and a backup overwrites nothing. Name another file, or remove it if it was left by a backup that was killed.`,
    );
  }
  try {
    await copyInThread(source, part);
    sync(part);
    renameSync(part, target);
    sync(dirname(target));
  } catch (error) {
    rmSync(part, { force: true });
    throw storageError(error, source);
  }
}

/** Text, because the packages are one file each. VACUUM INTO reads one snapshot, whatever is written meanwhile. */
const copier = `
const { DatabaseSync } = require("node:sqlite");
const { workerData } = require("node:worker_threads");
const db = new DatabaseSync(workerData.source, { readOnly: true, timeout: 10000 });
db.prepare("vacuum into ?").run(workerData.part);
db.close();
`;

function copyInThread(source: string, part: string): Promise<void> {
  return new Promise((resolve_, reject) => {
    const worker = new Worker(copier, { eval: true, execArgv: [], workerData: { source, part } });
    worker.once("error", reject);
    worker.once("exit", () => resolve_());
  });
}

function sync(path: string): void {
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
