import { constants, mkdirSync, openSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { WaybillError } from "@waybill/core";

/**
 * Opens a small file beside the database for reading and writing, made when missing and never cut. Throws STORAGE_INVALID when a
 * link stands in its place: what it points to is not the broker's to write into.
 */
export function openBeside(file: string): number {
  try {
    // Windows has no such flag, and lets only administrators make links.
    return openSync(file, constants.O_RDWR | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ELOOP")) throw error;
    throw new WaybillError(
      "STORAGE_INVALID",
      `"${file}" is a symbolic link; the broker's files must be files of their own. What it points to was left untouched. Remove the link, or name another directory.`,
      { cause: error, details: { file } },
    );
  }
}

/** Makes a folder and those above it. Not by Node's `recursive`, which never returns where a file system such as /proc answers ENOENT to mkdir. */
export function makeDirectory(path: string): void {
  if (isDirectory(path)) return;
  const parent = dirname(path);
  if (parent !== path) makeDirectory(parent);
  try {
    mkdirSync(path);
  } catch (error) {
    // Another process may have been quicker.
    if (!isDirectory(path)) throw error;
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
