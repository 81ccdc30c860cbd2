import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import {
  type Attributes,
  SpanKind,
  SpanStatusCode,
  context,
  metrics,
  propagation,
  trace,
} from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import { command, event, feed, query } from "@waybill/contracts";
import * as z from "zod";
import type { Header } from "./envelope.ts";
import { WaybillError } from "./errors.ts";
import { memory } from "./memory/index.ts";
import { service } from "./service.ts";
import {
  envelopeOf,
  foreigner,
  manualEnvironment,
  tested,
  until,
  watched,
} from "./testing.fixture.ts";

const Job = z.object({ id: z.string() });
const Run = command("jobs.run", { input: Job });
const Ran = event("jobs.ran", { payload: Job });
const Get = query("jobs.get", { input: Job, output: Job });
const Tail = feed("jobs.tail", {
  input: Job,
  item: z.int(),
  resume: { cursor: z.int(), of: (item) => item },
});
const Watch = feed("jobs.watch", { input: Job, item: Job });

const exporter = new InMemorySpanExporter();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
const contexts = new AsyncLocalStorageContextManager();

const parentOf = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

test("with no SDK a trace goes through a handler untouched", async () => {
  const broker = memory();
  const headers: Header[] = [];
  const chain = service("jobs", { publishes: [Ran] })
    .handle(Run, async (value, it) => void (await it.publish(Ran, value)))
    .on(Ran, (_value, it) => void headers.push(it.header));
  await using _ = await tested([chain], { transport: broker });
  await using wire = await foreigner(broker);
  const header = { traceparent: parentOf, tracestate: "vendor=1" };
  await wire.send([
    {
      to: { kind: "queue", name: "jobs.run" },
      envelope: envelopeOf("jobs.run", '{"id":"1"}', header),
    },
  ]);
  await until("the event", () => headers.length === 1);
  assert.deepEqual([headers[0]?.traceparent, headers[0]?.tracestate], [parentOf, "vendor=1"]);
});

test("with no SDK and no trace the header has none", async () => {
  const headers: Header[] = [];
  await using it = await tested([
    service("jobs").handle(Run, (_value, { header }) => void headers.push(header)),
  ]);
  await it.bus.send(Run, { id: "1" });
  await until("handled", () => headers.length === 1);
  assert.ok(!("traceparent" in headers[0]!));
});

test("an SDK that is registered after the bus has connected is used from then on", async (t) => {
  let handled = 0;
  await using it = await tested([service("jobs").handle(Run, () => void (handled += 1))]);
  await it.bus.send(Run, { id: "1" });
  await until("handled", () => handled === 1);
  trace.setGlobalTracerProvider(provider);
  t.after(() => {
    trace.disable();
    exporter.reset();
  });
  await it.bus.send(Run, { id: "2" });
  await until("its spans", () => exporter.getFinishedSpans().length === 2);
  const names = exporter.getFinishedSpans().map(({ name }) => name);
  assert.deepEqual(names.toSorted(), ["process jobs.run", "send jobs.run"]);
});

test("with the SDK", async (t) => {
  trace.setGlobalTracerProvider(provider);
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  context.setGlobalContextManager(contexts.enable());
  t.after(() => {
    trace.disable();
    propagation.disable();
    context.disable();
  });
  t.beforeEach(() => exporter.reset());

  const spans = (): readonly ReadableSpan[] => exporter.getFinishedSpans();
  const named = (name: string): ReadableSpan => {
    const found = spans().filter((span) => span.name === name);
    assert.equal(
      found.length,
      1,
      `${name} among ${spans()
        .map((span) => span.name)
        .join(", ")}`,
    );
    return found[0]!;
  };
  const isChild = (child: ReadableSpan, parent: ReadableSpan): void => {
    assert.equal(
      child.spanContext().traceId,
      parent.spanContext().traceId,
      `${child.name} in the trace of ${parent.name}`,
    );
    assert.equal(
      child.parentSpanContext?.spanId,
      parent.spanContext().spanId,
      `${child.name} under ${parent.name}`,
    );
  };
  const some = (attributes: Attributes, ...names: readonly string[]): unknown[] =>
    names.map((name) => attributes[name]);

  await t.test(
    "a chain of send, handle, publish and on is one trace, each span under the one before",
    async () => {
      const jobs = service("jobs", { publishes: [Ran] }).handle(
        Run,
        async (value, it) => void (await it.publish(Ran, value)),
      );
      await using it = await tested([jobs, service("log").on(Ran, () => undefined)]);
      const { id } = await it.bus.send(Run, { id: "1" });
      await until("four spans", () => spans().length === 4);
      const chain = [
        "send jobs.run",
        "process jobs.run",
        "send jobs.ran",
        "process jobs.ran/log",
      ].map(named);
      chain.slice(1).forEach((span, index) => isChild(span, chain[index]!));
      assert.deepEqual(
        chain.map(({ kind }) => kind),
        [SpanKind.PRODUCER, SpanKind.CONSUMER, SpanKind.PRODUCER, SpanKind.CONSUMER],
      );
      assert.deepEqual(
        some(
          chain[0]!.attributes,
          "messaging.system",
          "messaging.destination.name",
          "messaging.operation.name",
          "messaging.operation.type",
          "messaging.message.id",
          "messaging.message.conversation_id",
        ),
        ["waybill_memory", "jobs.run", "send", "send", id, id],
      );
      assert.deepEqual(
        some(
          chain[3]!.attributes,
          "messaging.destination.name",
          "messaging.operation.name",
          "messaging.operation.type",
          "messaging.consumer.group.name",
          "messaging.message.conversation_id",
          "waybill.attempt",
        ),
        ["jobs.ran/log", "process", "process", "log", id, 1],
      );
    },
  );

  await t.test("a send inside the user's own span is its child", async () => {
    await using it = await tested([service("jobs").handle(Run, () => undefined)]);
    await trace.getTracer("mine").startActiveSpan("checkout", async (span) => {
      await it.bus.send(Run, { id: "1" });
      span.end();
    });
    isChild(named("send jobs.run"), named("checkout"));
  });

  for (const localCalls of [true, false]) {
    await t.test(
      `a call is a client's and a server's span (${localCalls ? "in the process" : "over the transport"})`,
      async () => {
        await using it = await tested(
          [service("asker", { asks: [Get] }), service("jobs").answer(Get, (value) => value)],
          { localCalls },
        );
        await it.bus.ask(Get, { id: "1" });
        isChild(named("process jobs.get"), named("send jobs.get"));
        assert.deepEqual(
          [named("send jobs.get").kind, named("process jobs.get").kind],
          [SpanKind.CLIENT, SpanKind.SERVER],
        );
      },
    );
  }

  await t.test("what a feed's generator sends stays in the trace of the feed", async () => {
    const jobs = service("jobs", { publishes: [Ran] }).serve(Watch, async function* (value, it) {
      await it.publish(Ran, value);
      yield value;
    });
    await using it = await tested(
      [service("watcher", { opens: [Watch] }), jobs, service("log").on(Ran, () => undefined)],
      { localCalls: false },
    );
    await Array.fromAsync(it.bus.open(Watch, { id: "1" }));
    await until("the event is handled", () =>
      spans().some(({ name }) => name === "process jobs.ran/log"),
    );
    assert.equal(
      named("send jobs.ran").spanContext().traceId,
      named("send jobs.watch").spanContext().traceId,
    );
  });

  await t.test(
    "every failed delivery is a span with its error, the exception and its attempt",
    async () => {
      let runs = 0;
      const jobs = service("jobs").handle(
        Run,
        () => (++runs < 2 ? Promise.reject(new Error("glitch")) : undefined),
        { retry: { immediate: 0, delayMs: 0 } },
      );
      await using it = await tested([jobs]);
      await it.bus.send(Run, { id: "1" });
      await until(
        "both",
        () => spans().filter(({ name }) => name === "process jobs.run").length === 2,
      );
      const [failed, fine] = spans().filter(({ name }) => name === "process jobs.run");
      assert.deepEqual(failed?.status, { code: SpanStatusCode.ERROR, message: "glitch" });
      assert.equal(failed.attributes["error.type"], "HANDLER_FAILED");
      assert.deepEqual(
        some(failed.events[0]?.attributes ?? {}, "exception.type", "exception.message"),
        ["Error", "glitch"],
      );
      assert.deepEqual(
        [failed.attributes["waybill.attempt"], fine?.attributes["waybill.attempt"]],
        [1, 2],
      );
      assert.equal(fine?.status.code, SpanStatusCode.UNSET);
      assert.equal(fine.spanContext().traceId, failed.spanContext().traceId);
    },
  );

  await t.test("a body that cannot be read is an error span, too", async () => {
    const broker = memory();
    await using _ = await tested([service("jobs").handle(Run, () => undefined)], {
      transport: broker,
    });
    await using wire = await foreigner(broker);
    await wire.send([
      {
        to: { kind: "queue", name: "jobs.run" },
        envelope: envelopeOf("jobs.run", "{", { traceparent: parentOf }),
      },
    ]);
    await until("the span", () => spans().length === 1);
    const span = named("process jobs.run");
    assert.equal(span.attributes["error.type"], "DECODE_FAILED");
    assert.equal(span.spanContext().traceId, "4bf92f3577b34da6a3ce929d0e0e4736");
  });

  await t.test(
    "a hostile error and a broken traceparent break neither the span nor the handling",
    async () => {
      const broker = memory();
      const refuse = (): never => {
        throw new Error("do not look");
      };
      const jobs = service("jobs").handle(
        Run,
        () => {
          throw Object.defineProperties(new Error("x"), {
            message: { get: refuse },
            stack: { get: refuse },
            name: { get: refuse },
            code: { get: refuse },
          });
        },
        { retry: { immediate: 0, attempts: 1 } },
      );
      await using it = await tested([jobs], { transport: broker });
      await using wire = await foreigner(broker);
      await wire.send([
        {
          to: { kind: "queue", name: "jobs.run" },
          envelope: envelopeOf("jobs.run", '{"id":"1"}', {
            traceparent: "00-zz\r\n",
            tracestate: "x".repeat(10_000),
          }),
        },
      ]);
      await until("it is set aside", async () => (await it.bus.deadLetters.list()).length === 1);
      assert.equal(named("process jobs.run").status.code, SpanStatusCode.ERROR);
    },
  );

  await t.test(
    "a batch has one span, linked with every sender's, and its sends stand under it",
    async () => {
      const jobs = service("jobs", { publishes: [Ran] })
        .handleBatch(Run, async (_items, it) => void (await it.publish(Ran, { id: "all" })), {
          batch: { size: 2, maxAgeMs: 1_000 },
        })
        .on(Ran, () => undefined);
      await using it = await tested([jobs]);
      await it.bus.send(Run, { id: "1" });
      await it.bus.send(Run, { id: "2" });
      await until("five spans", () => spans().length === 5);
      const batch = named("process jobs.run");
      const senders = spans().filter(({ name }) => name === "send jobs.run");
      assert.deepEqual(
        batch.links.map(({ context: { spanId } }) => spanId),
        senders.map((sender) => sender.spanContext().spanId),
      );
      assert.equal(batch.attributes["messaging.batch.message_count"], 2);
      isChild(named("send jobs.ran"), batch);
    },
  );
});

test("sends and runs of handlers are counted and timed", async (t) => {
  const points = metered(t);
  let runs = 0;
  const worker = service("jobs").handle(Run, ({ id }) => {
    runs += 1;
    if (id === "bad") throw Object.assign(new Error("no"), { retryable: false });
  });
  await using it = await tested([worker]);
  await it.bus.send(Run, { id: "good" });
  await it.bus.send(Run, { id: "bad" });
  await until("both ran", () => runs === 2);
  await until("both settled", async () => (await it.bus.deadLetters.list()).length === 1);
  let refusals = 1;
  const transport = watched(memory(), (inner) => ({
    send: (batch) =>
      batch[0]?.to.name === Tail.name && refusals-- > 0
        ? Promise.reject(new WaybillError("TRANSPORT_FAILED", "not now", { retryable: true }))
        : inner.send(batch),
  }));
  const tail = service("tail").serve(Tail, async function* () {
    yield 1;
  });
  await using feeding = await tested([tail], { transport, localCalls: false });
  await Array.fromAsync(feeding.bus.open(Tail, { id: "1" }));
  const isDepth = (point: string): boolean => point.startsWith("waybill.address.");
  assert.deepEqual(
    (await points()).filter((point) => !isDepth(point)),
    [
      "messaging.client.consumed.messages jobs.run HANDLER_FAILED 1",
      "messaging.client.consumed.messages jobs.run ok 1",
      "messaging.client.consumed.messages jobs.tail ok 1",
      "messaging.client.sent.messages jobs.run ok 2",
      "messaging.client.sent.messages jobs.tail ok 2",
      "messaging.process.duration jobs.run HANDLER_FAILED 1",
      "messaging.process.duration jobs.run ok 1",
      "messaging.process.duration jobs.tail ok 1",
      "waybill.feed.resumes jobs.tail ok 1",
    ],
  );
});

test("a circuit counts as open until it is closed, and until its bus is", async (t) => {
  const points = metered(t);
  const environment = manualEnvironment();
  let fails = true;
  const worker = service("jobs").handle(
    Run,
    () => {
      if (fails) throw new Error("down");
    },
    { circuitBreaker: { consecutiveFailures: 1, breakMs: 1_000 }, retry: { immediate: 0 } },
  );
  const open = async (): Promise<string | undefined> =>
    (await points()).find((point) => point.startsWith("waybill.circuit_breaker.open"));
  const it = await tested([worker], { environment });
  await it.bus.send(Run, { id: "1" });
  await environment.advance(0);
  assert.equal(await open(), "waybill.circuit_breaker.open jobs.run ok 1");
  fails = false;
  await environment.advance(2_000);
  assert.equal(await open(), "waybill.circuit_breaker.open jobs.run ok 0");
  fails = true;
  await it.bus.send(Run, { id: "2" });
  await environment.advance(0);
  assert.equal(await open(), "waybill.circuit_breaker.open jobs.run ok 1");
  await it.bus.close();
  assert.equal(await open(), "waybill.circuit_breaker.open jobs.run ok 0");
});

/** Collects metrics until the test ends; answers the latest of each as `name destination error count`. */
function metered(testing: TestContext): () => Promise<readonly string[]> {
  const collected = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({
    exporter: collected,
    exportIntervalMillis: 60_000,
  });
  const meters = new MeterProvider({ readers: [reader] });
  metrics.setGlobalMeterProvider(meters);
  testing.after(async () => {
    metrics.disable();
    await meters.shutdown();
  });
  return async () => {
    collected.reset();
    await reader.forceFlush();
    return collected
      .getMetrics()
      .flatMap(({ scopeMetrics }) => scopeMetrics)
      .flatMap((scope) => scope.metrics)
      .flatMap(({ descriptor, dataPoints }) =>
        dataPoints.map(({ attributes, value }) => {
          const count = typeof value === "number" ? value : (value as { count: number }).count;
          const error = String(attributes["error.type"] ?? "ok");
          return `${descriptor.name} ${String(attributes["messaging.destination.name"])} ${error} ${count}`;
        }),
      )
      .toSorted();
  };
}
