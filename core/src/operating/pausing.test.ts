import assert from "node:assert/strict";
import { test } from "node:test";
import { command, event, stream } from "@waybill/contracts";
import * as z from "zod";
import { memory } from "../memory/index.ts";
import { service } from "../service.ts";
import { tested, turns, until, watched } from "../testing.fixture.ts";

const Job = z.object({ id: z.string() });
const Run = command("jobs.run", { input: Job, queue: "jobs.all" });
const Ran = event("jobs.ran", { payload: Job });
const Seen = stream("jobs.seen", { item: Job, key: ({ id }) => id });

test("a command is paused for every bus on the broker, told by health and by the log of who connects, and resumed from any", async () => {
  const transport = memory();
  const seen: string[] = [];
  const jobs = service("jobs").handle(Run, ({ id }) => void seen.push(id));
  await using it = await tested([jobs], { transport });
  await using office = await tested([service("office", { sends: [Run] })], { transport });
  assert.deepEqual(await office.bus.pause(Run, { reason: "the bank is down" }), ["jobs.all"]);
  await office.bus.send(Run, { id: "1" });
  await turns();
  assert.deepEqual(seen, []);
  for (const { bus } of [it, office]) {
    const { status, reasons, addresses } = await bus.health();
    assert.equal(status, "degraded");
    assert.match(reasons.join(), /jobs\.all: paused since \d{4}-.*Z: the bank is down/);
    assert.equal(addresses[0]?.paused?.reason, "the bank is down");
  }
  await using late = await tested([jobs], { transport });
  assert.ok(late.logger.has("warn", /jobs\.all: paused since .*: the bank is down Resume it/));
  assert.equal(
    it.logger.has("warn", /paused/),
    false,
    "who was there before is not told by its log",
  );
  await turns();
  assert.deepEqual(seen, []);
  assert.deepEqual(await late.bus.resume(Run), ["jobs.all"]);
  await until("resumed", () => seen.length === 1);
  assert.equal((await it.bus.health()).status, "up");
  assert.deepEqual(await it.bus.resume("jobs.all"), []);
});

test("an event or a stream stands for the addresses of this bus's handlers", async () => {
  const transport = memory();
  await using it = await tested(
    [
      service("jobs")
        .on(Ran, () => undefined)
        .on(Ran, () => undefined, { name: "second" })
        .consume(Seen, () => undefined),
      service("other").on(Ran, () => undefined),
    ],
    { transport },
  );
  const all = ["jobs.ran/jobs", "jobs.ran/jobs.second", "jobs.ran/other"];
  assert.deepEqual(await it.bus.pause(Ran, { reason: "why" }), all);
  assert.deepEqual(await it.bus.pause(Seen, { reason: "why" }), ["jobs.seen@jobs"]);
  const explained = await it.bus.explain(Ran);
  assert.match(explained.text, /receivers over all processes; paused since .*Z: why/);
  assert.deepEqual(await it.bus.resume(Ran), all);
  await using silent = await tested([service("silent", { publishes: [Ran] })], { transport });
  await assert.rejects(silent.bus.pause(Ran, { reason: "why" }), {
    code: "NOT_FOUND",
    message: /No service of this bus handles the event "jobs\.ran"/,
  });
});

test("what cannot be paused is refused, and a transport that cannot is not asked at start", async () => {
  await using it = await tested([service("jobs").handle(Run, () => undefined)]);
  await assert.rejects(it.bus.pause("jobs.none", { reason: "why" }), { code: "NOT_FOUND" });
  await assert.rejects(it.bus.pause(Run, { reason: "" }), { code: "OPTION_INVALID" });
  let asked = 0;
  const transport = watched(memory(), ({ capabilities, inspection }) => {
    inspection.settings = async () => {
      asked += 1;
      return [];
    };
    return { capabilities: { ...capabilities, pause: false, forwardHopsMax: 0 } };
  });
  await using plain = await tested([service("jobs").handle(Run, () => undefined)], { transport });
  assert.equal(plain.bus.capabilities.pause, false);
  assert.equal(asked, 0);
});
