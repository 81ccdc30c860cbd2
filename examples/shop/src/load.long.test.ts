import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";

/** The full size is 1,000. */
const orders = Number(process.env["WAYBILL_ORDERS"] ?? 300);

test(`${orders} orders balance while services are killed, and again after the dead letters were replayed`, async (context) => {
  const load = join(import.meta.dirname, "load.ts");
  const args = ["--orders", String(orders), "--customers", "64", "--kill", "--replay"];
  const child = spawn(process.execPath, ["--conditions=@waybill/source", load, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  // Not `exit`: then what it printed last may still be on its way.
  const [code] = (await once(child, "close")) as [number | null];
  for (const line of output.trim().split("\n").slice(-9)) context.diagnostic(line);
  assert.equal(code, 0, output);
  assert.match(output, new RegExp(`${orders} accepted = .* \\+ 0 dead\n`));
});
