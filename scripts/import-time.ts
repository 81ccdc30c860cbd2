/** Prints how long `import("waybill")` as it is packed takes in a process of its own: `npm run bench:import`. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { layOut } from "./pack.ts";

const runs = 21;

/** Median milliseconds of importing a package from `folder`, each time in a new process. */
export function importMs(name: string, folder: string): number {
  const program = `const began = performance.now(); await import(${JSON.stringify(name)}); console.log(performance.now() - began);`;
  const measured = Array.from({ length: runs }, () =>
    Number(
      execFileSync(process.execPath, ["--input-type=module", "--eval", program], {
        cwd: folder,
        encoding: "utf8",
      }),
    ),
  );
  return measured.toSorted((one, other) => one - other)[runs >> 1] ?? Number.NaN;
}

if (import.meta.main) {
  const folder = mkdtempSync(join(tmpdir(), "waybill-import-"));
  try {
    layOut(folder);
    console.log(
      `import "waybill": median of ${runs} processes ${importMs("waybill", folder).toFixed(1)} ms (bar: 40 ms)`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
