import type { Attributes, Context, Span, TextMapGetter, TextMapSetter } from "@opentelemetry/api";
import type { Header } from "./envelope.ts";
import { messageOf } from "./errors.ts";
import type { WritableHeader } from "./message.ts";
import { judge } from "./taxonomy.ts";

type Api = typeof import("@opentelemetry/api");

/** Spans by OpenTelemetry's messaging conventions (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/). */
export interface Telemetry {
  /** Records a send and writes its context into the header. */
  sent(header: WritableHeader, details: SentDetails): void;
  /** Runs `work` inside a span that continues the sender's trace. */
  received<Result>(
    header: Header,
    details: ReceivedDetails,
    work: () => Promise<Result>,
  ): Promise<Result>;
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

/** Undefined when the optional peer `@opentelemetry/api` is not installed. */
export async function loadTelemetry(system: string): Promise<Telemetry | undefined> {
  let api: Api;
  try {
    api = await import("@opentelemetry/api");
  } catch {
    return undefined;
  }
  return telemetryOver(api, system);
}

function telemetryOver(api: Api, system: string): Telemetry {
  const tracer = api.trace.getTracer("waybill");
  return {
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
      return tracer.startActiveSpan(`process ${details.destination}`, options, parent, (span) =>
        finished(api, span, work),
      );
    },
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

function attributesOf(
  system: string,
  header: Header,
  { destination, operation }: { destination: string; operation: "send" | "process" },
): Attributes {
  return {
    "messaging.system": `waybill_${system}`,
    "messaging.destination.name": destination,
    "messaging.operation.name": operation,
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
