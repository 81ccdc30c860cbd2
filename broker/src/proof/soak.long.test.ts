import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { assertFlat, soak } from "@waybill/testkit";
import type { Sample } from "./soak.fixture.ts";

/** The full size is 15. */
const minutes = Number(process.env["WAYBILL_SOAK_MINUTES"] ?? 1 / 6);
const fileBytesMax = 64 * 1024 * 1024;

test(`${minutes.toFixed(2)} minutes under load: heap and handles stay flat, the file bounded`, async (context) => {
  const directory = mkdtempSync(join(tmpdir(), "waybill-soak-"));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  const script = join(import.meta.dirname, "soak.fixture.ts");
  const soaked = await soak<Sample>(script, [directory, String(minutes * 60_000)]);
  assertFlat(soaked, context);
  const { handled, consumed, items } = soaked.last.seen;
  assert.ok(handled > 0 && consumed > 0 && items > 0);
  assert.ok(soaked.last.file <= fileBytesMax, `the files hold ${soaked.last.file} bytes`);
});
