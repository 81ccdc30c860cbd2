import assert from "node:assert/strict";
import { test } from "node:test";
import { command, event } from "@waybill/contracts";
import * as z from "zod";
import { memory } from "../memory/index.ts";
import type { Delivery } from "../ports/transport.ts";
import { service } from "../service.ts";
import { gate, tested, until, watched } from "../testing.fixture.ts";

const Job = z.object({ id: z.string() });
const DoJob = command("jobs.run", { input: Job });
const Done = event("jobs.done", { payload: Job });

test("where sending and settling are two steps, a handler whose lock is known to be lost sends nothing", async () => {
  const came: Delivery[] = [];
  const published: string[] = [];
  const transport = watched(memory(), (inner) => ({
    capabilities: { ...inner.capabilities, atomicSettle: false },
    receive: (source, options, listener) =>
      inner.receive(source, options, {
        fault: (error) => listener.fault(error),
        deliver: (batch) => {
          came.push(...batch);
          listener.deliver(batch);
        },
      }),
  }));
  const goOn = gate();
  const jobs = service("jobs", { publishes: [Done] })
    .handle(DoJob, async (job, context) => {
      await goOn.passed;
      await context.publish(Done, job);
    })
    .on(Done, ({ id }) => void published.push(id));
  await using it = await tested([jobs], { transport });
  await it.bus.send(DoJob, { id: "late" });
  await until("it has begun", () => came.length === 1);
  came[0]?.onLockLost?.();
  goOn.open();
  await until("it is refused", async () => (await it.counted("jobs.run"))["lockLost"] === 1);
  await it.bus.send(DoJob, { id: "prompt" });
  await until("the next one", () => published.includes("prompt"));
  assert.deepEqual(published, ["prompt"]);
});
