import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Benchmark } from "./benchmark.ts";
import { median } from "./statistics.ts";

const msMax = 40;
const root = fileURLToPath(new URL("../../", import.meta.url));

/** How much later a program starts for importing Waybill. */
export const importing: Benchmark = {
  name: "import",
  run: async ({ quick, say }) => {
    const built = existsSync(`${root}waybill/dist/index.js`);
    const differences: number[] = [];
    for (let run = 0; run < (quick ? 7 : 21); run++) {
      const bare = startMs("", built);
      differences.push(startMs('await import("waybill")', built) - bare);
    }
    const value = median(differences);
    say(`import: ${value.toFixed(1)} ms`);
    return [
      {
        name: 'import "waybill"',
        value,
        unit: "ms",
        bar: { atMost: msMax },
        note: `${built ? "built dist" : "source, types stripped at start"}; a process with it minus one without`,
      },
    ];
  },
};

function startMs(program: string, built: boolean): number {
  const beganAt = performance.now();
  const { status, stderr } = spawnSync(
    process.execPath,
    [...(built ? [] : ["--conditions=@waybill/source"]), "--input-type=module", "--eval", program],
    { cwd: root, encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`Starting node failed: ${stderr}`);
  return performance.now() - beganAt;
}
