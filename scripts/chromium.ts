/**
 * Finds the browser of the browser tests, or gets it: `node scripts/chromium.ts` prints its path and what it did.
 * Tests call `findChromium()`; nothing downloads a browser of its own.
 */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { canInstall, install } from "./debian.ts";

const names = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/** Path of a Chromium on PATH, or what CHROMIUM names; undefined when there is none. */
export function findChromium(): string | undefined {
  const named = process.env["CHROMIUM"];
  if (named !== undefined && existsSync(named)) return named;
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find(existsSync);
}

if (import.meta.main) process.exitCode = main();

function main(): number {
  const found = findChromium();
  if (found !== undefined) {
    console.log(`Browser tests use ${found}.`);
    return 0;
  }
  if (!canInstall()) {
    console.error(
      "Browser tests need Chromium, and none is on PATH. Install one (Debian: apt-get install chromium), " +
        "or set CHROMIUM to the path of a Chromium or Chrome.",
    );
    return 1;
  }
  console.log("No Chromium on PATH: installing Debian's package.");
  install("chromium");
  console.log(`Browser tests use ${findChromium()}.`);
  return 0;
}
