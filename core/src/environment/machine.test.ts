import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { machineClock } from "./machine.ts";

const elsewhere = process.platform === "linux" ? false : "only Linux names its boots";

test("all processes of one boot read one clock", { skip: elsewhere }, () => {
  const clock = machineClock();
  assert.ok(clock !== undefined);
  const before = clock.now();
  const script = `import { machineClock } from ${JSON.stringify(new URL("machine.ts", import.meta.url).href)};
    const clock = machineClock(); console.log(JSON.stringify([clock.boot, clock.now()]));`;
  const said = execFileSync(process.execPath, ["--input-type=module", "--eval", script], {
    encoding: "utf8",
  });
  const [boot, moment] = JSON.parse(said) as [string, number];
  assert.equal(boot, clock.boot);
  assert.ok(before < moment && moment < clock.now(), `${before}, ${moment}`);
});
