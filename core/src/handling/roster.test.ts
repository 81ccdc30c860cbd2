import assert from "node:assert/strict";
import { test } from "node:test";
import { Roster } from "./roster.ts";

test("a roster has what came and did not go, once each, in any order of going", () => {
  const roster = new Roster<{ place: number; readonly name: string }>();
  const [a, b, c, d] = ["a", "b", "c", "d"].map((name) => ({ name, place: -1 }));
  assert.ok(a !== undefined && b !== undefined && c !== undefined && d !== undefined);
  for (const each of [a, b, c, d, b]) roster.add(each);
  assert.equal(roster.size, 4);
  assert.equal(roster.delete(b), true);
  assert.equal(roster.delete(b), false);
  assert.equal(roster.delete(d), true);
  assert.deepEqual(
    [a, b, c, d].map((each) => roster.has(each)),
    [true, false, true, false],
  );
  roster.add(b);
  assert.deepEqual([...roster].map(({ name }) => name).toSorted(), ["a", "b", "c"]);
});
