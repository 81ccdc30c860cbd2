import { statfsSync } from "node:fs";
import { type Logger, WaybillError } from "@waybill/core";
import { storageError } from "../errors.ts";
import type { Settings } from "../options.ts";
import { makeDirectory } from "../processes/beside.ts";

/**
 * File systems whose locks or shared memory do not hold between machines, or not reliably, by the `f_type` that Linux gives them
 * (man 2 statfs). On them two processes can write at once, and the file is damaged.
 */
const unsafe: Readonly<Record<number, string>> = {
  0x6969: "NFS",
  0x517b: "SMB",
  0xfe534d42: "SMB",
  0xff534d42: "CIFS",
  0x01021997: "9p",
  0x65735546: "FUSE",
  0x00c36400: "Ceph",
  0x0bd00bd0: "Lustre",
  0x5346414f: "AFS",
  0x73757245: "Coda",
  0x786f4256: "VirtualBox shared folder",
};

export interface FileSystemProbe {
  readonly platform: string;
  readonly statfs: (directory: string) => { readonly type: number };
}

const machine: FileSystemProbe = { platform: process.platform, statfs: statfsSync };

/**
 * Makes the folder and throws STORAGE_INVALID when its file system is known to be unsafe, or warns, by the option. Only Linux tells the kind
 * of a file system by number; elsewhere nothing is checked.
 */
export function checkFileSystem(
  { directory, unsafeFileSystem }: Settings,
  logger: Logger,
  { platform, statfs }: FileSystemProbe = machine,
): void {
  const kind = kindOf(directory, platform === "linux" ? statfs : undefined);
  if (kind === undefined) return;
  const details = { directory, fileSystem: kind };
  if (unsafeFileSystem === "warn") {
    logger.warn(
      "The embedded broker's folder is on a file system on which SQLite's locks do not hold; messages can be lost and the file damaged.",
      details,
    );
    return;
  }
  throw new WaybillError(
    "STORAGE_INVALID",
    `"${directory}" is on ${kind}, where SQLite's locks do not hold between processes; nothing was written. Name a folder on a local disk. Only where a single machine uses it and its locks are known to work: embedded({ unsafeFileSystem: "warn" }).`,
    { details },
  );
}

function kindOf(
  directory: string,
  statfs: FileSystemProbe["statfs"] | undefined,
): string | undefined {
  try {
    makeDirectory(directory);
    // Node gives a signed or an unsigned number, as the platform's field is.
    return statfs === undefined ? undefined : unsafe[statfs(directory).type >>> 0];
  } catch (error) {
    throw storageError(error, directory);
  }
}
