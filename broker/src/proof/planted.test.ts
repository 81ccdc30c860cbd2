import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { plantedBugs } from "../planted/bugs.fixture.ts";

const root = join(import.meta.dirname, "../../..");

test("every bug that is planted in long runs still has its place in the source", () => {
  for (const { name, file, text } of plantedBugs) {
    const places = readFileSync(join(root, file), "utf8").split(text).length - 1;
    assert.equal(places, 1, `"${name}" in ${file}`);
  }
});
