import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Benchmark } from "./benchmark.ts";
import { temporaryDirectory } from "./directory.ts";
import { median } from "./statistics.ts";

const msMax = 40;
const root = fileURLToPath(new URL("../../", import.meta.url));

/** How much later a program starts for importing Waybill as it is packed. */
export const importing: Benchmark = {
  name: "import",
  run: async ({ quick, say }) => {
    await using folder = await temporaryDirectory();
    const built = existsSync(join(root, "waybill/dist/index.js"));
    if (built) node([join(root, "scripts/pack.ts"), "--into", folder.path], root);
    const startMs = (program: string): number => {
      const beganAt = performance.now();
      if (built) node(["--input-type=module", "--eval", program], folder.path);
      else node(["--conditions=@waybill/source", "--input-type=module", "--eval", program], root);
      return performance.now() - beganAt;
    };
    const differences: number[] = [];
    for (let run = 0; run < (quick ? 7 : 21); run++) {
      const bare = startMs("");
      differences.push(startMs('await import("waybill")') - bare);
    }
    const value = median(differences);
    say(`import: ${value.toFixed(1)} ms`);
    return [
      {
        name: 'import "waybill"',
        value,
        unit: "ms",
        bar: { atMost: msMax },
        note: `${built ? "as packed" : "source, types stripped at start; `npm run build` first to measure what is packed"}; a process with it minus one without`,
      },
    ];
  },
};

function node(args: readonly string[], cwd: string): void {
  const { status, stderr } = spawnSync(process.execPath, args, { cwd, encoding: "utf8" });
  if (status !== 0) throw new Error(`Starting node failed: ${stderr}`);
}
