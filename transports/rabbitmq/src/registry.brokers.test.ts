import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, command, event, stream } from "@waybill/contracts";
import { connect, service } from "@waybill/core";
import { connect as connectPlain } from "amqplib";
import { Corner, until } from "./corner.test.support.ts";
import { url } from "./subject.test.support.ts";
import { Names } from "./topology.ts";

type Item = { readonly id: string };

const Item: Schema<Item> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as Item }) },
};

/** A shop whose every handler fails, and an office that knows nothing of it. */
function shopIn(corner: Corner) {
  const Place = command(corner.name("place"), { input: Item });
  const Placed = event(corner.name("placed"), { payload: Item });
  const Views = stream(corner.name("views"), { item: Item, key: ({ id }) => id });
  const fail = (): never => {
    throw new TypeError("no");
  };
  const once = { retry: { attempts: 1 } } as const;
  const shop = service("shop", { sends: [Place], publishes: [Placed], appends: [Views] })
    .handle(Place, fail, once)
    .on(Placed, fail, once)
    .consume(Views, fail, once);
  return { Place, Placed, Views, shop };
}

test("who has declared nothing sees and removes the dead letters of all processes: of queues, subscriptions and groups", async () => {
  await using corner = new Corner();
  const { Place, Placed, Views, shop } = shopIn(corner);
  await using office = await connect({ ...corner.options, services: [service("office")] });
  // Asked before anybody has declared anything, so that what comes later must come by itself.
  assert.deepEqual(await office.deadLetters.list(), []);
  await using bus = await connect({ ...corner.options, services: [shop] });
  await bus.send(Place, { id: "1" });
  await bus.publish(Placed, { id: "2" });
  await bus.append(Views, { id: "3" });
  const types = async (): Promise<readonly string[]> =>
    (await office.deadLetters.list()).map(({ envelope }) => envelope.header.type).toSorted();
  await until("all are dead", async () => (await types()).length === 3);
  assert.deepEqual(await types(), [Place.name, Placed.name, Views.name].toSorted());
  const [first] = await office.deadLetters.list({ limit: 1 });
  assert.equal(await office.deadLetters.discard([first?.handle ?? ""]), 1);
  assert.equal((await office.deadLetters.list()).length, 2);

  // And who comes after the ones that declared have gone.
  await bus[Symbol.asyncDispose]();
  await using late = await connect({ ...corner.options, services: [service("late")] });
  assert.equal((await late.deadLetters.list()).length, 2);
});

test("an address of another process that was deleted is no longer among all", async () => {
  await using corner = new Corner();
  const { Place, shop } = shopIn(corner);
  const bus = await connect({ ...corner.options, services: [shop] });
  await bus[Symbol.asyncDispose]();
  const open = () => corner.factory().open(corner.host);
  await using office = await open();
  const addresses = async () => (await office.inspection.addresses()).map(({ address }) => address);
  assert.ok((await addresses()).includes(Place.name));
  const plain = await connectPlain(url);
  const channel = await plain.createChannel();
  const names = new Names("");
  for (const queue of [Place.name, names.dead(Place.name)]) await channel.deleteQueue(queue);
  await plain.close();
  assert.ok(!(await addresses()).includes(Place.name));
});

test("what others may have written into the log of addresses harms nobody", async () => {
  await using corner = new Corner();
  const { Place, shop } = shopIn(corner);
  const bus = await connect({ ...corner.options, services: [shop] });
  await bus[Symbol.asyncDispose]();
  const plain = await connectPlain(url);
  const channel = await plain.createConfirmChannel();
  const nonsense = [[], ["queues"], ["queues", 7], ["secrets", "x"], ["subscriptions", "x"], null];
  for (const content of [
    "{",
    "7",
    "null",
    '{"declared":7}',
    JSON.stringify({ declared: nonsense }),
  ])
    channel.sendToQueue(corner.registry, Buffer.from(content));
  await channel.waitForConfirms();
  await plain.close();
  await using office = await corner.factory().open(corner.host);
  const addresses = (await office.inspection.addresses()).map(({ address }) => address);
  assert.ok(addresses.includes(Place.name));
  assert.ok(!addresses.includes("x"));
});
