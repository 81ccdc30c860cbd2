import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeEnvironment } from "@waybill/testkit";
import { folder, message, open, probe, silent, topology } from "../fixture.test.support.ts";
import { unroutedMax } from "./arrivals.ts";

const event = (body: string, type = "order.placed") =>
  message({ kind: "topic", name: "orders" }, body, { type });

test("events that nobody subscribes to are kept up to a bound, the newest, and the loss is logged", async (context) => {
  const warnings: unknown[] = [];
  const logger = { ...silent, warn: (_: string, fields?: unknown) => void warnings.push(fields) };
  let told = 0;
  const transport = await open(context, folder(context), { logger, unrouted: () => (told += 1) });
  await transport.declare(topology({ topics: [{ name: "orders" }] }));
  const batch = Array.from({ length: 2_000 }, (_, index) => event(`${index}`));
  for (let count = 1; count <= 5; count++) {
    await transport.send(batch);
    assert.equal(told, count * 2_000);
  }
  assert.deepEqual(warnings, []);
  await transport.send([event("newest"), event("of all")]);
  assert.deepEqual(warnings, [{ address: "orders/", count: 2 }]);
  const [state] = await transport.inspection.addresses();
  assert.equal(state?.dead, unroutedMax);
  const [oldest] = await transport.inspection.list({ state: "dead", limit: 1 });
  assert.equal(oldest?.envelope.body, "2");
  assert.equal(oldest?.failure?.reason, "SUBSCRIBER_MISSING");
});

test("a subscription made by another process is seen by the next publishing", async (context) => {
  const directory = folder(context);
  const environment = fakeEnvironment();
  const told: unknown[] = [];
  const publisher = await open(context, directory, {
    environment,
    unrouted: ({ body }, topic) => void told.push([body, topic]),
  });
  await publisher.declare(topology({ topics: [{ name: "orders" }] }));
  await publisher.send([event("early")]);
  assert.deepEqual(told, [["early", "orders"]]);
  const subscriber = await open(context, directory, { environment });
  const parts = {
    topics: [{ name: "orders" }],
    subscriptions: [{ topic: "orders", name: "billing", accepts: [{ type: "order.placed" }] }],
  };
  await subscriber.declare(topology(parts));
  await publisher.send([event("now"), event("other", "order.lost")]);
  assert.deepEqual(told.splice(1), [["other", "orders"]]);
  const { bodies } = probe(subscriber, { kind: "subscription", topic: "orders", name: "billing" });
  const parked = await subscriber.inspection.list({ state: "dead", address: "orders/", limit: 10 });
  assert.deepEqual(
    parked.map(({ envelope }) => envelope.body),
    ["early", "other"],
  );
  // Only what somebody takes now leaves the topic's dead letters.
  assert.equal(await subscriber.inspection.replay(parked.map(({ handle }) => handle)), 1);
  await environment.drain();
  assert.deepEqual(bodies(), ["now", "early"]);
});

test("what expired unseen is a dead letter, or gone where its sender said so", async (context) => {
  const environment = fakeEnvironment();
  const transport = await open(context, folder(context), { environment });
  await transport.declare(topology({ queues: [{ name: "calls" }] }));
  const notAfter = environment.clock.now() + 1_000;
  const to = { kind: "queue", name: "calls" } as const;
  await transport.send([
    message(to, "told", { notAfter }),
    message(to, "dropped", { notAfter, discardExpired: true }),
    message(to, "later", { notAfter, notBefore: notAfter + 5_000 }),
  ]);
  await environment.advance(3_000);
  const dead = await transport.inspection.list({ state: "dead", address: "calls", limit: 10 });
  assert.deepEqual(
    dead.map(({ envelope, failure }) => [envelope.body, failure?.reason]),
    [
      ["told", "EXPIRED"],
      ["later", "EXPIRED"],
    ],
  );
  assert.equal(await transport.inspection.replay(dead.map(({ handle }) => handle)), 2);
  const { bodies } = probe(transport, to);
  await environment.advance(3_000);
  assert.deepEqual(bodies(), ["told", "later"]);
});
