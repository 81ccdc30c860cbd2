import { existsSync } from "node:fs";
import { join } from "node:path";

const binaryFolders = [
  "/usr/local/sbin",
  "/usr/local/bin",
  "/usr/sbin",
  "/usr/bin",
  "/sbin",
  "/bin",
];

/** Full path of an installed program; undefined when there is none. Looks beyond PATH, which often lacks the folders of servers. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(":"), ...binaryFolders];
  return folders.map((folder) => join(folder, name)).find(existsSync);
}
