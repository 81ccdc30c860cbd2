import assert from "node:assert/strict";
import { test } from "node:test";
import { metrics } from "@opentelemetry/api";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import { command, event, stream } from "@waybill/contracts";
import * as z from "zod";
import { connect } from "../connect.ts";
import { memory } from "../memory/index.ts";
import type { AddressState } from "../ports/transport.ts";
import { service } from "../service.ts";
import { inspecting, manualEnvironment, recordingLogger, watched } from "../testing.fixture.ts";

const Id = z.object({ id: z.string() });
const Run = command("jobs.run", { input: Id });
const Other = command("others.run", { input: Id });
const Ran = event("jobs.ran", { payload: Id });
const Lost = event("jobs.lost", { payload: Id });
const Log = stream("jobs.log", { item: Id, key: ({ id }) => id });

/** A meter that is read by hand: `name destination attribute… value`. */
function metered(): { read(): Promise<readonly string[]>; end(): Promise<void> } {
  const collected = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({
    exporter: collected,
    exportIntervalMillis: 3_600_000,
  });
  const meters = new MeterProvider({ readers: [reader] });
  metrics.setGlobalMeterProvider(meters);
  return {
    read: async () => {
      collected.reset();
      await reader.forceFlush();
      return collected
        .getMetrics()
        .flatMap(({ scopeMetrics }) => scopeMetrics)
        .flatMap((scope) => scope.metrics)
        .filter(({ descriptor }) => /^waybill\.(address|stream)\./.test(descriptor.name))
        .flatMap(({ descriptor, dataPoints }) =>
          dataPoints.map(({ attributes, value }) =>
            [descriptor.name, ...Object.values(attributes).map(String), Number(value)].join(" "),
          ),
        )
        .toSorted();
    },
    end: async () => {
      metrics.disable();
      await meters.shutdown();
    },
  };
}

const jobs = service("jobs", { publishes: [Lost], sends: [Other], appends: [Log] })
  .handle(Run, () => undefined)
  .on(Ran, () => undefined)
  .consume(Log, () => undefined);

test("depth and lag of a bus's own addresses are metrics, read from the broker every few seconds at most", async (t) => {
  const meter = metered();
  t.after(() => meter.end());
  const environment = manualEnvironment();
  const broker = memory();
  let looks = 0;
  const transport = watched(broker, ({ inspection }) => ({
    inspection: inspecting(inspection, {
      addresses: () => {
        looks += 1;
        return inspection.addresses();
      },
    }),
  }));
  const each = service("each").on(Ran, () => undefined, { everyInstance: true });
  const logger = recordingLogger();
  const bus = await connect({ transport, services: [jobs, each], environment, logger });
  await using stranger = await connect({
    transport: broker,
    services: [service("stranger").handle(Other, () => undefined)],
    environment,
    logger,
  });
  stranger.pauseHere(Other.name);
  bus.pauseHere(Run.name);
  bus.pauseHere(`${Log.name}@jobs`);
  bus.pauseHere(`${Ran.name}/jobs`);
  await bus.send(Run, { id: "1" });
  await bus.send(Run, { id: "2" }, { delayMs: 600_000 });
  await bus.publish(Ran, { id: "3" });
  await bus.publish(Lost, { id: "4" });
  for (const id of ["5", "6"]) await bus.append(Log, { id });
  await environment.advance(2_000);
  const points = await meter.read();
  assert.equal(looks, 1);
  const system = "waybill_memory";
  assert.deepEqual(
    points.filter((point) => !point.endsWith(" 0")),
    [
      `waybill.address.dead ${system} jobs.lost/ 1`,
      `waybill.address.oldest_ready ${system} jobs.log@jobs jobs 2`,
      `waybill.address.oldest_ready ${system} jobs.ran/jobs jobs 2`,
      `waybill.address.oldest_ready ${system} jobs.run 2`,
      `waybill.address.ready ${system} jobs.ran/jobs jobs 1`,
      `waybill.address.ready ${system} jobs.run 1`,
      `waybill.address.scheduled ${system} jobs.run 1`,
      `waybill.stream.lag ${system} jobs.log@jobs jobs 2`,
    ],
  );
  const places = new Set(points.map((point) => point.split(" ")[2] ?? ""));
  assert.deepEqual(
    [...places].toSorted((one, other) => one.localeCompare(other)),
    ["jobs.log@jobs", "jobs.lost/", "jobs.ran/", "jobs.ran/jobs", "jobs.run", "others.run"],
  );
  await bus.send(Run, { id: "7" });
  await environment.advance(4_999);
  assert.deepEqual(await meter.read(), points);
  assert.equal(looks, 1);
  await environment.advance(1);
  assert.ok((await meter.read()).includes(`waybill.address.ready ${system} jobs.run 2`));
  assert.equal(looks, 2);
  await bus.close();
  await meter.read();
  assert.equal(looks, 2);
});

test("nobody looks where no metrics are collected, and a broker that does not answer holds nobody up", async (t) => {
  const environment = manualEnvironment();
  let looks = 0;
  const transport = watched(memory(), ({ inspection }) => ({
    inspection: inspecting(inspection, {
      addresses: () => {
        looks += 1;
        return new Promise<readonly AddressState[]>(() => undefined);
      },
    }),
  }));
  await using _ = await connect({ transport, services: [jobs], environment });
  const meter = metered();
  t.after(() => meter.end());
  assert.deepEqual(await meter.read(), []);
  assert.equal(looks, 0);
  await using __ = await connect({ transport, services: [jobs], environment });
  const reading = meter.read();
  await environment.advance(5_000);
  assert.deepEqual(await reading, []);
  assert.equal(looks, 1);
});
