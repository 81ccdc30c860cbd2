import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

/** Of 300: one that meets two collections on its short way is moved. */
const oldMax = 15;

test("bursts do not teach the engine to make what lives as long as its message in the old generation", () => {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [
      "--conditions=@waybill/source",
      // Small, so that whole bursts outlive collections: from that the engine would learn.
      "--min-semi-space-size=1",
      "--max-semi-space-size=1",
      join(import.meta.dirname, "young.fixture.ts"),
    ],
    { encoding: "utf8", timeout: 50_000 },
  );
  assert.notEqual(stdout, "", stderr);
  const { done, old } = JSON.parse(stdout) as { done: number; old: Record<string, number> };
  assert.equal(done, 40_300);
  const pretenured = Object.entries(old).filter(([, count]) => count > oldMax);
  assert.deepEqual(pretenured, [], "made by a literal? Make it by a class: see core's Received");
});
