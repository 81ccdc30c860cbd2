import assert from "node:assert/strict";
import { test } from "node:test";
import { type Member, shareOf } from "./share.ts";

/** Lets members take and give in turns until nobody wants anything; answers who has what. */
function settle(members: readonly Member[], owners: (string | undefined)[]): number {
  for (let rounds = 0; rounds < 100; rounds++) {
    let moves = 0;
    for (const { id: member } of members) {
      const mine = owners.flatMap((owner, partition) => (owner === member ? partition : []));
      const { wanted, surplus } = shareOf({ members, member, owners, mine });
      for (const partition of surplus) owners[partition] = undefined;
      for (const partition of wanted) owners[partition] = member;
      moves += wanted.length + surplus.length;
    }
    if (moves === 0) return rounds;
  }
  throw new Error("it never comes to rest");
}

const member = (id: string, since: number): Member => ({ id, since });

test("shares differ by one at most and cover everything, whoever comes and goes", () => {
  for (const partitions of [1, 3, 4, 7, 16])
    for (const count of [1, 2, 3, 5]) {
      const members = Array.from({ length: count }, (_, index) => member(`m${index}`, index));
      const owners = Array.from({ length: partitions }, (): string | undefined => undefined);
      settle(members, owners);
      const sizes = members.map(({ id }) => owners.filter((owner) => owner === id).length);
      assert.equal(Math.max(...sizes) - Math.min(...sizes) <= 1, true);
      assert.ok(!owners.includes(undefined));
    }
});

test("who comes takes no more than its share, and what stays does not move", () => {
  const before = [member("a", 1), member("b", 2)];
  const owners: (string | undefined)[] = Array.from({ length: 6 }, () => undefined);
  settle(before, owners);
  const old = [...owners];
  settle([...before, member("c", 3)], owners);
  assert.equal(owners.filter((owner, index) => owner !== old[index]).length, 2);
});

test("one that is booked on a member who does not read it is taken again", () => {
  const { wanted } = shareOf({
    members: [member("a", 1)],
    member: "a",
    owners: ["a", "a"],
    mine: [0],
  });
  assert.deepEqual(wanted, [1]);
});

test("who is not among the members gives everything up", () => {
  const division = { members: [member("b", 1)], member: "a", owners: ["a"], mine: [0] };
  assert.deepEqual(shareOf(division), { wanted: [], surplus: [0] });
});
