import { mkdir, open, opendir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { WaybillError } from "@waybill/core";
import { type ObjectStore, isObjectName } from "./object-store.ts";

const unfinished = ".part";

/**
 * Objects as files of one directory, which every process that sends or receives must share. A file is written aside, forced to
 * the disk and renamed, so that it is there whole or not at all. The directory is made when it is first needed, readable for its owner
 * only.
 */
export function directoryStore({ directory }: { readonly directory: string }): ObjectStore {
  if (typeof directory !== "string" || directory === "")
    throw new WaybillError("OPTION_INVALID", "directoryStore({ directory }) needs a path.");
  let made: Promise<unknown> | undefined;
  const pathOf = (name: string): string => {
    if (!isObjectName(name))
      throw new WaybillError("OPTION_INVALID", `"${String(name)}" is no name of an object.`);
    return join(directory, name);
  };
  return {
    put: async (name, bytes) => {
      const path = pathOf(name);
      await (made ??= mkdir(directory, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
        made = undefined; // the next one tries again
        throw error;
      }));
      await writeWhole(path, bytes);
      await syncDirectory(directory);
    },
    get: async (name, bytesMax) => readUpTo(pathOf(name), bytesMax + 1),
    delete: async (name) => {
      const path = pathOf(name);
      await rm(path, { force: true });
      await rm(path + unfinished, { force: true });
    },
    list: () => namesIn(directory),
  };
}

async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path + unfinished, "wx", 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(path + unfinished, path);
}

/** So that the name survives a loss of power, too. Windows cannot open a directory, and needs no such thing. */
async function syncDirectory(directory: string): Promise<void> {
  let handle;
  try {
    handle = await open(directory, "r");
  } catch (error) {
    if (["EISDIR", "EPERM", "EACCES"].includes(codeOf(error))) return;
    throw error;
  }
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function readUpTo(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
  let file;
  try {
    file = await open(path, "r");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    const { size } = await file.stat();
    const bytes = new Uint8Array(Math.min(size, bytesMax));
    let read = 0;
    while (read < bytes.length) {
      const { bytesRead } = await file.read(bytes, read, bytes.length - read, read);
      if (bytesRead === 0) break;
      read += bytesRead;
    }
    return bytes.subarray(0, read);
  } finally {
    await file.close();
  }
}

/** Names of whole and of unfinished objects. None while the directory does not exist. */
async function* namesIn(directory: string): AsyncIterable<string> {
  let entries;
  try {
    entries = await opendir(directory);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return;
    throw error;
  }
  for await (const entry of entries) {
    const name = entry.name.endsWith(unfinished)
      ? entry.name.slice(0, -unfinished.length)
      : entry.name;
    if (isObjectName(name)) yield name;
  }
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown }).code);
}
