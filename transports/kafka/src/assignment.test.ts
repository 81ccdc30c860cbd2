import assert from "node:assert/strict";
import { test } from "node:test";
import { type Claim, assign, orphans } from "./assignment.ts";

const keys = ["t:0", "t:1", "t:2", "t:3"];
const claim = (member: string, owned: readonly string[], leaving = false): Claim => ({
  member,
  owned,
  generation: 1,
  leaving,
});

test("everybody keeps what he can, and what is to move goes to nobody until it was given up", () => {
  const first = assign(keys, [claim("a", [])]);
  assert.deepEqual(first.get("a"), keys);
  const joined = assign(keys, [claim("a", keys), claim("b", [])]);
  assert.deepEqual([joined.get("a"), joined.get("b")], [["t:0", "t:1"], []]);
  const handed = assign(keys, [claim("a", ["t:0", "t:1"]), claim("b", [])]);
  assert.deepEqual(
    [handed.get("a"), handed.get("b")],
    [
      ["t:0", "t:1"],
      ["t:2", "t:3"],
    ],
  );
});

test("who leaves gets nothing, and nobody gets what he still has in hand", () => {
  const leaving = assign(keys, [claim("a", ["t:0"], true), claim("b", ["t:2", "t:3"])]);
  assert.deepEqual([leaving.get("a"), leaving.get("b")?.toSorted()], [[], ["t:1", "t:2", "t:3"]]);
});

test("of two who claim a partition, who got it last has it", () => {
  const late: Claim = { ...claim("late", ["t:0"]), generation: 3 };
  const now: Claim = { ...claim("now", ["t:0", "t:1"]), generation: 4 };
  const assigned = assign(["t:0", "t:1"], [late, now]);
  assert.deepEqual(assigned.get("late"), []);
});

test("who has more keeps the larger share, whatever its name; more members than partitions leave some with nothing", () => {
  const three = keys.slice(0, 3);
  const shared = assign(three, [claim("a", ["t:0"]), claim("z", ["t:1", "t:2"])]);
  assert.deepEqual([shared.get("a"), shared.get("z")], [["t:0"], ["t:1", "t:2"]]);
  const many = assign(["t:0"], [claim("a", ["t:0"]), claim("b", []), claim("c", [])]);
  assert.deepEqual([many.get("a"), many.get("b"), many.get("c")], [["t:0"], [], []]);
});

test("of each topic everybody gets a share, also who comes when one has everything", () => {
  const both = ["event:0", "event:1", "returns:0", "returns:1", "single:0"];
  const coming = assign(both, [claim("a", both), claim("b", [])]);
  assert.deepEqual(coming.get("a"), ["event:0", "returns:0", "single:0"]);
  const come = assign(both, [claim("a", coming.get("a") ?? []), claim("b", [])]);
  assert.deepEqual(come.get("b"), ["event:1", "returns:1"]);
  // What cannot be shared goes to who has less.
  const fresh = assign(["one:0", "two:0"], [claim("a", []), claim("b", [])]);
  assert.deepEqual([fresh.get("a"), fresh.get("b")], [["one:0"], ["two:0"]]);
});

test("nobody's are those that nobody has while nobody wants any", () => {
  assert.deepEqual(orphans(keys, [claim("a", ["t:1"], true)]), ["t:0", "t:2", "t:3"]);
  assert.deepEqual(orphans(keys, [claim("a", [], true), claim("b", [])]), []);
});
