import { partitionHash } from "@waybill/core/adapter";
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { type GroupEntry, Groups } from "./groups.ts";
import { partitionOf } from "./partition-of.ts";
import { share } from "./share.ts";

const group = "readers";

function added(entries: readonly GroupEntry[]): Groups {
  const groups = new Groups();
  for (const entry of entries) groups.apply({ ...entry });
  return groups;
}

const begun: GroupEntry = { kind: "begin", group, committed: [0, 0] };
const join = (member: string): GroupEntry => ({ kind: "join", group, member });
const gone = (member: string): GroupEntry => ({ kind: "gone", group, member });
const quit = (member: string): GroupEntry => ({ kind: "quit", group, member });
const claim = (member: string, partition: number): GroupEntry => ({
  kind: "claim",
  group,
  member,
  partition,
});
const done = (partition: number, epoch: number, committed: number): GroupEntry => ({
  kind: "done",
  group,
  done: [[partition, epoch, committed]],
});

test("keys keep their partition for ever: where items lie follows from it", () => {
  const header = { id: "id" } as Parameters<typeof partitionOf>[0];
  assert.equal(partitionOf({ ...header, partitionkey: "a" }, 8), partitionHash("a") % 8);
  assert.equal(partitionOf(header, 8), partitionHash("id") % 8);
});

test("partitions are shared evenly, and nothing moves without need", () => {
  const members = fc.uniqueArray(fc.constantFrom("a", "b", "c", "d", "e"), { minLength: 1 });
  const owners = fc.array(fc.option(fc.constantFrom("a", "b", "c", "d", "e"), { nil: undefined }), {
    minLength: 1,
    maxLength: 16,
  });
  fc.assert(
    fc.property(owners, members, (before, among) => {
      const after = share(before, among);
      assert.equal(after.length, before.length);
      const counts = among.map((member) => after.filter((owner) => owner === member).length);
      assert.equal(
        counts.reduce((sum, count) => sum + count, 0),
        before.length,
      );
      assert.ok(Math.max(...counts) - Math.min(...counts) <= 1);
      assert.deepEqual(share(after, among), after, "nothing moves without need");
    }),
  );
});

test("who was passed over commits in vain", () => {
  const groups = added([
    begun,
    join("one"),
    claim("one", 0),
    gone("one"),
    join("other"),
    claim("other", 0),
    done(0, 1, 5),
    done(0, 2, 3),
  ]);
  const place = groups.get(group)?.places[0];
  assert.deepEqual([place?.holder, place?.epoch, place?.committed], ["other", 2, 3]);
});

test("a death counts for the item that stands first, a farewell does not", () => {
  const dies = (member: string): readonly GroupEntry[] => [
    join(member),
    claim(member, 0),
    gone(member),
  ];
  const runs = (entries: readonly GroupEntry[]): number | undefined =>
    added(entries).get(group)?.places[0]?.runs;
  const last = [join("last"), claim("last", 0)];
  assert.equal(runs([begun, ...last]), 0);
  assert.equal(runs([begun, ...dies("a"), ...dies("b"), ...last]), 2);
  const leaves: readonly GroupEntry[] = [
    join("c"),
    claim("c", 0),
    quit("c"),
    { kind: "free", group, partition: 0, epoch: 2 },
  ];
  assert.equal(runs([begun, ...dies("a"), ...leaves, ...last]), 1);
  const moves: readonly GroupEntry[] = [join("c"), claim("c", 0), done(0, 2, 1), gone("c")];
  assert.equal(runs([begun, ...dies("a"), ...moves, ...last]), 1, "the next item is another");
});

test("who quits keeps what it holds until it frees it", () => {
  const groups = added([begun, join("one"), claim("one", 0), join("other"), quit("one")]);
  assert.equal(groups.get(group)?.places[0]?.assigned, "other");
  groups.apply({ ...claim("other", 0) });
  assert.equal(groups.get(group)?.places[0]?.holder, "one");
});

const plain = (groups: Groups): unknown => JSON.parse(JSON.stringify(groups));

const entries: fc.Arbitrary<GroupEntry> = fc.oneof(
  fc
    .constantFrom("a", "b", "c")
    .chain((member) =>
      fc.constantFrom(join(member), quit(member), gone(member), claim(member, 0), claim(member, 1)),
    ),
  fc.tuple(fc.nat(1), fc.nat(6), fc.nat(9)).chain(([partition, epoch, committed]) =>
    fc.constantFrom<GroupEntry>(done(partition, epoch, committed), {
      kind: "free",
      group,
      partition,
      epoch,
    }),
  ),
  fc.tuple(fc.nat(9), fc.nat(9)).map(([id, offset]): GroupEntry => ({
    kind: "seek",
    group,
    id: String(id),
    to: [[0, offset]],
  })),
);

test("an entry that comes twice in a row changes nothing, and a sum is as good as its entries", () => {
  fc.assert(
    fc.property(fc.array(entries, { maxLength: 60 }), (said) => {
      const once = added([begun, ...said]);
      const twice = added([begun, begun, ...said.flatMap((each) => [each, each])]);
      assert.deepEqual(plain(twice), plain(once));
      const half = Math.floor(said.length / 2);
      const summed = new Groups();
      summed.load(plain(added([begun, ...said.slice(0, half)])));
      for (const each of said.slice(half)) summed.apply({ ...each });
      assert.deepEqual(plain(summed), plain(once));
    }),
  );
});
