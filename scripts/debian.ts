import { type ExecFileSyncOptions, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";

/** Whether this process may install Debian packages. */
export function canInstall(): boolean {
  return existsSync("/usr/bin/apt-get") && process.getuid?.() === 0;
}

/** Installs one Debian package without recommendations. Throws when apt does. */
export function install(name: string): void {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const options: ExecFileSyncOptions = { env, stdio: ["ignore", "ignore", "inherit"] };
  execFileSync("apt-get", ["update", "-qq"], options);
  execFileSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", name], options);
}
