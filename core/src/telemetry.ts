import type {
  Attributes,
  Context,
  Span,
  TextMapGetter,
  TextMapSetter,
  Tracer,
} from "@opentelemetry/api";
import type { Header } from "./envelope.ts";
import { messageOf } from "./errors.ts";
import type { WritableHeader } from "./handling/message.ts";
import type { CircuitState } from "./flow/circuit-options.ts";
import type { Clock } from "./ports/environment.ts";
import { judge } from "./handling/taxonomy.ts";

type Api = typeof import("@opentelemetry/api");

/** Spans and metrics by OpenTelemetry's messaging conventions (https://opentelemetry.io/docs/specs/semconv/messaging/). */
export interface Telemetry {
  /** Nobody registered what would make or pass on anything of a message: `sent` and `received` would have no effect. */
  readonly idle: boolean;
  /** Records a send and writes its context into the header. */
  sent(header: WritableHeader, details: SentDetails): void;
  /** Runs `work` inside a span that continues the sender's trace. */
  received<Result>(
    header: Header,
    details: ReceivedDetails,
    work: () => Promise<Result>,
  ): Promise<Result>;
  /** Counts a lost feed that is opened again. */
  resumed(destination: string): void;
  /** Runs `work` inside a span of its own that is linked with the trace of every sender. */
  receivedBatch(
    headers: readonly Header[],
    details: Pick<ReceivedDetails, "destination" | "service">,
    work: () => Promise<void>,
  ): Promise<void>;
  /** A circuit breaker changed its state. */
  circuit(address: string, from: CircuitState, to: CircuitState): void;
}

export interface SentDetails {
  readonly destination: string;
  /** Somebody waits for the answer. */
  readonly call: boolean;
}

export interface ReceivedDetails extends SentDetails {
  readonly service: string;
  readonly attempt: number;
}

/** What gauges need of a meter. Not OpenTelemetry's own type: who has not installed it checks the types of this package, too. */
export interface GaugeMeter {
  createObservableGauge(name: string, options: { unit: string; description: string }): object;
  addBatchObservableCallback(callback: GaugeCallback, observables: object[]): void;
  removeBatchObservableCallback(callback: GaugeCallback, observables: object[]): void;
}

export interface GaugeResult {
  observe(observable: object, value: number, attributes?: Record<string, string>): void;
}

type GaugeCallback = (result: GaugeResult) => Promise<void>;

/** Where metrics go; undefined when no OpenTelemetry API is installed, or nobody has registered a meter provider. */
export async function loadMeter(): Promise<GaugeMeter | undefined> {
  try {
    const api = await import("@opentelemetry/api");
    const meter = api.metrics.getMeter("waybill");
    return meter === api.createNoopMeter() ? undefined : meter;
  } catch {
    return undefined;
  }
}

/** Undefined when the optional peer `@opentelemetry/api` is not installed. */
export async function loadTelemetry(system: string, clock: Clock): Promise<Telemetry | undefined> {
  let api: Api;
  try {
    api = await import("@opentelemetry/api");
  } catch {
    return undefined;
  }
  return telemetryOver(api, system, clock);
}

function telemetryOver(api: Api, system: string, clock: Clock): Telemetry {
  const tracer = api.trace.getTracer("waybill");
  const meter = metersOf(api, clock);
  const isIdle = idleness(api);
  return {
    get idle() {
      return isIdle();
    },
    sent: (header, { destination, call }) => {
      const options = {
        kind: call ? api.SpanKind.CLIENT : api.SpanKind.PRODUCER,
        attributes: attributesOf(system, header, { destination, operation: "send" }),
      };
      // Where nothing is active (the body of a feed's generator), the message in hand is the parent: it left its trace in the header.
      const active = api.context.active();
      const context =
        api.trace.getSpan(active) === undefined
          ? api.propagation.extract(active, header, headerGetter)
          : active;
      const span = tracer.startSpan(`send ${destination}`, options, context);
      api.propagation.inject(api.trace.setSpan(context, span), header, headerSetter);
      span.end();
      meter.sent(metricAttributes(system, destination, "send"));
    },
    received: (header, details, work) => {
      const parent: Context = api.propagation.extract(api.ROOT_CONTEXT, header, headerGetter);
      const options = {
        kind: details.call ? api.SpanKind.SERVER : api.SpanKind.CONSUMER,
        attributes: {
          ...attributesOf(system, header, {
            destination: details.destination,
            operation: "process",
          }),
          "messaging.consumer.group.name": details.service,
          "waybill.attempt": details.attempt,
        },
      };
      const measured = meter.processing(
        metricAttributes(system, details.destination, "process"),
        work,
      );
      return tracer.startActiveSpan(`process ${details.destination}`, options, parent, (span) =>
        finished(api, span, measured),
      );
    },
    resumed: (destination) => meter.resumed(metricAttributes(system, destination, "send")),
    circuit: (address, from, to) => meter.circuit(address, from, to),
    receivedBatch: batches(api, tracer, { system, meter }),
  };
}

/** A tracer or a propagator may still be registered after the bus connects, a meter's provider not. What was registered is taken to stay. */
function idleness(api: Api): () => boolean {
  let idle = api.metrics.getMeter("waybill") === api.createNoopMeter();
  return () => {
    if (!idle) return false;
    const provider = api.trace.getTracerProvider();
    idle =
      provider instanceof api.ProxyTracerProvider &&
      provider.getDelegateTracer("waybill") === undefined &&
      api.propagation.fields().length === 0;
    return idle;
  };
}

function batches(
  api: Api,
  tracer: Tracer,
  { system, meter }: { system: string; meter: Meters },
): Telemetry["receivedBatch"] {
  return (headers, { destination, service }, work) => {
    const links = headers.flatMap((header) => {
      const sender = api.propagation.extract(api.ROOT_CONTEXT, header, headerGetter);
      const context = api.trace.getSpanContext(sender);
      return context === undefined ? [] : [{ context }];
    });
    const attributes = metricAttributes(system, destination, "process");
    const options = {
      kind: api.SpanKind.CONSUMER,
      links,
      attributes: {
        ...attributes,
        "messaging.operation.type": "process",
        "messaging.batch.message_count": headers.length,
        "messaging.consumer.group.name": service,
      },
    };
    const measured = meter.processing(attributes, work, headers.length);
    return tracer.startActiveSpan(`process ${destination}`, options, api.ROOT_CONTEXT, (span) =>
      finished(api, span, measured),
    );
  };
}

async function finished<Result>(
  api: Api,
  span: Span,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    record(api, span, error);
    throw error;
  } finally {
    span.end();
  }
}

function record(api: Api, span: Span, error: unknown): void {
  const message = messageOf(error);
  span.setAttribute("error.type", judge(error).reason);
  span.setStatus({ code: api.SpanStatusCode.ERROR, message });
  try {
    if (error instanceof Error) span.recordException(error);
  } catch {
    span.recordException(message); // it throws when it is looked at
  }
}

interface Meters {
  sent(attributes: Attributes): void;
  resumed(attributes: Attributes): void;
  /** The same work on so many messages, counted and timed. */
  processing<Result>(
    attributes: Attributes,
    work: () => Promise<Result>,
    messages?: number,
  ): () => Promise<Result>;
  circuit(address: string, from: CircuitState, to: CircuitState): void;
}

function metersOf(api: Api, clock: Clock): Meters {
  const meter = api.metrics.getMeter("waybill");
  const sent = meter.createCounter("messaging.client.sent.messages", { unit: "{message}" });
  const consumed = meter.createCounter("messaging.client.consumed.messages", { unit: "{message}" });
  const resumes = meter.createCounter("waybill.feed.resumes", { unit: "{resume}" });
  const duration = meter.createHistogram("messaging.process.duration", { unit: "s" });
  const circuits = meter.createUpDownCounter("waybill.circuit_breaker.open", { unit: "{circuit}" });
  return {
    circuit: (address, from, to) => {
      const change = Number(to !== "closed") - Number(from !== "closed");
      if (change !== 0) circuits.add(change, { "messaging.destination.name": address });
    },
    sent: (attributes) => sent.add(1, attributes),
    resumed: (attributes) => resumes.add(1, attributes),
    processing:
      (attributes, work, messages = 1) =>
      async () => {
        const begun = clock.monotonic();
        let outcome = attributes;
        try {
          return await work();
        } catch (error) {
          outcome = { ...attributes, "error.type": judge(error).reason };
          throw error;
        } finally {
          consumed.add(messages, outcome);
          duration.record((clock.monotonic() - begun) / 1_000, outcome);
        }
      },
  };
}

/** Few values each: an id here would make a series of its own of every message. */
function metricAttributes(
  system: string,
  destination: string,
  operation: "send" | "process",
): Attributes {
  return {
    "messaging.system": `waybill_${system}`,
    "messaging.destination.name": destination,
    "messaging.operation.name": operation,
  };
}

function attributesOf(
  system: string,
  header: Header,
  { destination, operation }: { destination: string; operation: "send" | "process" },
): Attributes {
  return {
    ...metricAttributes(system, destination, operation),
    "messaging.operation.type": operation,
    "messaging.message.id": header.id,
    "messaging.message.conversation_id": header.conversationid,
  };
}

const headerSetter: TextMapSetter<WritableHeader> = {
  set: (header, key, value) => {
    if (key === "traceparent") header.traceparent = value;
    else if (key === "tracestate") header.tracestate = value;
  },
};

const headerGetter: TextMapGetter<Header> = {
  get: (header, key) =>
    key === "traceparent"
      ? header.traceparent
      : key === "tracestate"
        ? header.tracestate
        : undefined,
  keys: () => ["traceparent", "tracestate"],
};
