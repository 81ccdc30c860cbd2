import assert from "node:assert/strict";
import { test } from "node:test";
import { stream } from "@waybill/contracts";
import * as z from "zod";
import { memory } from "../memory/index.ts";
import { service } from "../service.ts";
import { tested, until, watched } from "../testing.fixture.ts";

const Readings = stream("telemetry.readings", {
  item: z.object({ text: z.string() }),
  key: () => "one",
  partitions: 1,
});

const script = service("script", { appends: [Readings] });

test("a service is put back to the start while it runs: its handler is told to stop, and all comes again", async () => {
  const handled: string[] = [];
  const aborted: string[] = [];
  let slow = true;
  const telemetry = service("telemetry").consume(
    Readings,
    async ({ text }, { attempt, signal }) => {
      handled.push(`${text}#${attempt}`);
      if (text !== "c" || !slow) return;
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      aborted.push(text);
    },
  );
  await using system = await tested([telemetry, script]);
  const { bus } = system;
  for (const text of ["a", "b", "c"]) await bus.append(Readings, { text });
  await until("the slow one runs", () => handled.length === 3);
  slow = false;
  const { group, partitions } = await bus.streams.seek(Readings, telemetry, "start");
  assert.equal(group, "telemetry");
  assert.equal(partitions[0]?.lag, 3);
  await until("all again", () => handled.length === 6);
  assert.deepEqual(handled, ["a#1", "b#1", "c#1", "a#1", "b#1", "c#1"]);
  assert.deepEqual(aborted, ["c"]);
  await until("nothing is left", async () => {
    const [state] = await bus.streams.groups(Readings);
    return state?.partitions[0]?.lag === 0;
  });
  await bus.streams.seek(Readings, "telemetry", { offsets: [{ partition: 0, offset: 2 }] });
  await until("the last again", () => handled.length === 7);
  await bus.streams.seek(Readings, "telemetry", { at: new Date(0) });
  await until("all of them again", () => handled.length === 10);
});

test("a position that is none, a group that nobody reads and a transport that cannot seek are refused", async () => {
  const telemetry = service("telemetry").consume(Readings, () => undefined);
  await using system = await tested([telemetry, script]);
  const { streams } = system.bus;
  await assert.rejects(streams.seek(Readings, telemetry, { at: new Date("no date") }), {
    code: "OPTION_INVALID",
  });
  await assert.rejects(streams.seek(Readings, "nobody", "end"), /it has telemetry\./);
  const transport = watched(memory(), ({ capabilities }) => ({
    capabilities: { ...capabilities, seek: false },
  }));
  await using other = await tested([telemetry, script], { transport });
  await assert.rejects(other.bus.streams.seek(Readings, telemetry, "start"), {
    code: "NOT_SUPPORTED",
    message: /cannot put a group to another place/,
  });
});
