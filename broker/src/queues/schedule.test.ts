import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeEnvironment } from "@waybill/testkit";
import { folder, open, probe, toQueue, topology } from "../fixture.test.support.ts";

const queues = [{ name: "reminders" }];
const source = { kind: "queue", name: "reminders" } as const;

test("one of 100,000 scheduled messages is taken back by its id", async (context) => {
  const environment = fakeEnvironment();
  const transport = await open(context, folder(context), { environment });
  await transport.declare(topology({ queues }));
  const notBefore = environment.clock.now() + 60_000;
  let wanted = "";
  for (let sent = 0; sent < 100_000; sent += 1_000) {
    const batch = Array.from({ length: 1_000 }, () => toQueue("reminders", "x", { notBefore }));
    wanted = batch[500]?.envelope.header.id ?? "";
    await transport.send(batch);
  }
  assert.equal(await transport.inspection.cancel([wanted]), 1);
  assert.equal(await transport.inspection.cancel([wanted]), 0);
  const [reminders] = await transport.inspection.addresses();
  assert.equal(reminders?.scheduled, 99_999);
});

test("one id that was used 1,200 times is taken back as often", async (context) => {
  const environment = fakeEnvironment();
  const transport = await open(context, folder(context), { environment });
  await transport.declare(topology({ queues }));
  const one = toQueue("reminders", "x", { notBefore: environment.clock.now() + 60_000 });
  await transport.send(Array.from({ length: 1_200 }, () => one));
  assert.equal(await transport.inspection.cancel([one.envelope.header.id], "reminders"), 1_200);
});

test("a long line of large bodies that fell due together comes in the order of falling due", async (context) => {
  const environment = fakeEnvironment();
  const directory = folder(context);
  const transport = await open(context, directory, { environment });
  await transport.declare(topology({ queues }));
  const now = environment.clock.now();
  const count = 12;
  for (let index = 0; index < count; index++) {
    const body = `${index}`.padEnd(3 * 1024 * 1024, ".");
    await transport.send([toQueue("reminders", body, { notBefore: now + 5_000 - index })]);
  }
  await transport[Symbol.asyncDispose]();
  environment.jump(10_000);
  const later = await open(context, directory, { environment });
  const { bodies } = probe(later, source, { prefetchBytes: 100 * 1024 * 1024 });
  await environment.advance(3_000);
  assert.deepEqual(
    bodies().map((body) => Number.parseInt(body, 10)),
    Array.from({ length: count }, (_, index) => count - 1 - index),
  );
});
