import assert from "node:assert/strict";
import { WaybillError, service } from "@waybill/core";
import { needsCounts } from "../suite/case.ts";
import type { FailureCase } from "./case.ts";

const asJson = {
  schema: (name: string, version: number) => ({ dataschema: `urn:waybill:${name}:${version}` }),
};

export const messageFailures: readonly FailureCase[] = [
  {
    id: "unknown-type",
    what: "a message arrives whose type no handler there takes",
    then: "a dead letter with reason TYPE_UNKNOWN, an error in the log and a counter by address",
    run: async (failing) => {
      const DoJob = failing.command("job");
      const process = await failing.process(service("worker").handle(DoJob, () => undefined));
      await failing.inject({ kind: "queue", name: DoJob.name }, { type: "somebody.elses" }, "{}");
      const [dead] = await failing.dead(process);
      assert.equal(dead?.failure?.reason, "TYPE_UNKNOWN");
      assert.ok(process.log.some((line) => line.includes("somebody.elses")));
      assert.equal((await process.bus.health()).unknownTypes[DoJob.name], 1);
    },
  },
  {
    id: "bad-schema",
    what: "a body does not fit its contract",
    then: "a dead letter with reason MESSAGE_INVALID and the issues; a sender of ours gets the error before anything is sent",
    run: async (failing) => {
      const DoJob = failing.command("job");
      const process = await failing.process(
        service("worker").handle(DoJob, () => assert.fail("it ran")),
      );
      await failing.inject(
        { kind: "queue", name: DoJob.name },
        asJson.schema(DoJob.name, 1),
        '{"id":7}',
      );
      const [dead] = await failing.dead(process);
      assert.equal(dead?.failure?.reason, "MESSAGE_INVALID");
      assert.match(dead?.failure?.message ?? "", /id: must be text/);
      await assert.rejects(
        process.bus.send(DoJob, { id: 7 } as unknown as { id: string }),
        (error: unknown) => error instanceof WaybillError && error.code === "MESSAGE_INVALID",
      );
    },
  },
  {
    id: "unreadable",
    what: "a body cannot be read, or is of a newer version than the service knows",
    then: "a dead letter with reason DECODE_FAILED or VERSION_UNKNOWN; the newer service can replay it",
    run: async (failing) => {
      const DoJob = failing.command("job");
      const process = await failing.process(
        service("worker").handle(DoJob, () => assert.fail("it ran")),
      );
      const to = { kind: "queue", name: DoJob.name } as const;
      await failing.inject(to, {}, '{"id":');
      await failing.inject(to, {}, Uint8Array.of(0xff, 0xfe, 0x22));
      await failing.inject(to, asJson.schema(DoJob.name, 2), '{"id":"1"}');
      const dead = await failing.dead(process, 3);
      assert.deepEqual(
        dead.map(({ failure }) => String(failure?.reason)).toSorted((a, b) => a.localeCompare(b)),
        ["DECODE_FAILED", "DECODE_FAILED", "VERSION_UNKNOWN"],
      );
    },
  },
  {
    id: "nobody-subscribes",
    what: "an event is published and no service subscribes to it",
    then: "it is kept as a dead letter of the topic, with a warning and a counter; replayed, it reaches who subscribes by then",
    run: async (failing) => {
      const Done = failing.event("done");
      const sender = await failing.process(service("sender", { publishes: [Done] }));
      await sender.bus.publish(Done, { id: "1" });
      const [dead] = await failing.dead(sender);
      assert.equal(dead?.failure?.reason, "SUBSCRIBER_MISSING");
      assert.equal((await sender.bus.health()).contracts[Done.name]?.unrouted, 1);
      assert.ok(sender.log.some((line) => line.includes(Done.name)));
      const seen: string[] = [];
      await failing.process(service("reader").on(Done, ({ id }) => void seen.push(id)));
      await sender.bus.deadLetters.replay([dead?.handle ?? ""]);
      await failing.stage.until("the replay arrives", () => seen.length === 1);
    },
  },
  {
    id: "nobody-handles",
    what: "a command is sent while its owner is not running",
    then: "it waits in its queue, `health()` says that nobody receives, and the owner finds it when it starts",
    notFor: needsCounts("receivers"),
    run: async (failing) => {
      const DoJob = failing.command("job");
      const sender = await failing.process(service("sender", { sends: [DoJob] }));
      await sender.bus.send(DoJob, { id: "1" });
      const health = await sender.bus.health();
      assert.equal(health.status, "degraded");
      assert.ok(
        health.reasons.some(
          (reason) => reason.includes(DoJob.name) && reason.includes("nobody receives"),
        ),
      );
      const seen: string[] = [];
      await failing.process(service("worker").handle(DoJob, ({ id }) => void seen.push(id)));
      await failing.stage.until("the owner finds it", () => seen.length === 1);
    },
  },
  {
    id: "expired",
    what: "a message is still waiting when its time to live is over",
    then: "it is not handled; it becomes a dead letter with reason EXPIRED",
    run: async (failing) => {
      const DoJob = failing.command("job");
      const sender = await failing.process(service("sender", { sends: [DoJob] }));
      await sender.bus.send(DoJob, { id: "1" }, { ttlMs: 20 });
      await failing.stage.pass(30);
      const worker = await failing.process(
        service("worker").handle(DoJob, () => assert.fail("it ran")),
      );
      const [dead] = await failing.dead(worker);
      assert.equal(dead?.failure?.reason, "EXPIRED");
    },
  },
];
