/** Prints how long `import("waybill")` takes in a process of its own: `npm run bench:import`. */
import { execFileSync } from "node:child_process";
import { root } from "./repository.ts";

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

if (import.meta.main)
  console.log(
    `import "waybill": median of ${runs} processes ${importMs("waybill", root).toFixed(1)} ms (bar: 40 ms)`,
  );
