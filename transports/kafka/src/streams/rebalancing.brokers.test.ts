import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Outgoing, sleep, systemEnvironment } from "@waybill/core";
import { TcpFaultProxy } from "@waybill/testkit";
import { Corner, Reading, appended, complete, until } from "../corner.test.support.ts";

const keys = Array.from({ length: 24 }, (_, index) => `key-${index}`);

describe("When the members of a group change while items are handled", () => {
  test("a partition moves only after its reader has settled what it holds; nothing comes twice, order is kept", async () => {
    await using corner = new Corner();
    const first = await corner.withStream("moving", 4);
    await first.send(appended("moving", 96, keys));
    const one = new Reading(first, "moving", { prefetch: 96 });
    await until("all items in hand", () => one.deliveries.length === 96);
    const two = new Reading(await corner.open(), "moving", { onDelivery: complete });
    const admin = corner.admin();
    const groupId = corner.names.group("moving@readers");
    await until("the other is a member", async () => {
      const group = (await admin.describeGroups({ groups: [groupId] })).get(groupId);
      return group?.state === "Stable" && group.members.size === 2;
    });
    // Two rounds of the group later it still has nothing.
    await sleep(systemEnvironment.timers, 1_500);
    assert.deepEqual(two.bodies, []);
    for (const delivery of one.deliveries)
      assert.equal(await delivery.settle({ kind: "complete" }), "settled");
    await first.send(appended("moving", 96, keys).map(renamed));
    await until("192 items", () => {
      for (const delivery of one.deliveries.slice(96)) complete(delivery);
      return one.deliveries.length + two.deliveries.length >= 192;
    });
    assert.ok(two.deliveries.length > 0, "the other reads as well");
    const all = [...one.bodies, ...two.bodies];
    assert.equal(new Set(all).size, 192, "each item once");
    assert.equal(all.length, 192);
    assert.deepEqual(one.lost, []);
    const sent = appended("moving", 96, keys)
      .flatMap((each) => [each, renamed(each)])
      .map(({ envelope }) => String(envelope.body));
    for (const key of keys) {
      const of = (bodies: readonly string[], begin: string): readonly string[] =>
        bodies.filter((body) => body.startsWith(`${begin}${key}:`));
      for (const begin of ["", "again "]) assert.deepEqual(of(all, begin), of(sent, begin));
    }
  });

  test("who is cut off is told that its locks are lost, settles in vain, and reads on with the others later", async () => {
    await using proxy = await TcpFaultProxy.listen({ port: 9092 });
    await using corner = new Corner();
    const near = await corner.withStream("cut", 2);
    const reach = (): { host: string; port: number } => ({ host: "127.0.0.1", port: proxy.port });
    const far = await corner.open({
      url: `kafka://127.0.0.1:${proxy.port}`,
      reach,
      sessionTimeoutMs: 6_000,
      requestTimeoutMs: 2_500,
    });
    await near.send(appended("cut", 10, keys));
    const late = new Reading(far, "cut");
    await until("10 items in hand", () => late.deliveries.length === 10);
    proxy.freeze();
    const rival = new Reading(near, "cut", { onDelivery: complete });
    await until("the other to have all", () => rival.deliveries.length === 10);
    assert.deepEqual(new Set(rival.deliveries.map(({ attempt }) => attempt)), new Set([2]));
    proxy.heal();
    const settled = await Promise.all(
      late.deliveries.slice(0, 5).map((delivery) => delivery.settle({ kind: "complete" })),
    );
    for (const answer of settled) assert.notEqual(answer, "settled");
    await until("the other losses to be told", () => late.lost.length === 5);
    const more = appended(
      "cut",
      40,
      keys.map((key) => `more-${key}`),
    );
    await until("both to read", async () => {
      await near.send(more);
      for (const delivery of late.deliveries) complete(delivery);
      return late.deliveries.length > 10 && rival.deliveries.length > 10;
    });
  });
});

describe("An item that ends its process", () => {
  test("is counted once for each, by whoever gets it next", async () => {
    await using corner = new Corner();
    const sender = await corner.withStream("poison", 1);
    await sender.send(appended("poison", 3, ["a"]));
    for (const attempt of [1, 2, 3, 4]) {
      const dying = await corner.open();
      const reading = new Reading(dying, "poison", { prefetch: 1 });
      await until("the item", () => reading.deliveries.length === 1);
      assert.deepEqual([reading.bodies[0], reading.deliveries[0]?.attempt], ["a:0", attempt]);
      await dying[Symbol.asyncDispose]();
      assert.equal(reading.lost.length, 1);
    }
    const last = new Reading(sender, "poison", { onDelivery: complete });
    await until("all items", () => last.deliveries.length === 3);
    assert.deepEqual(
      last.deliveries.map(({ attempt }) => attempt),
      [5, 1, 1],
    );
  });
});

function renamed({ to, envelope }: Outgoing): Outgoing {
  return { to, envelope: { ...envelope, body: `again ${String(envelope.body)}` } };
}
