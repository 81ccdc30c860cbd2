import type { IncomingStep, OutgoingStep } from "../pipeline.ts";
import { addressOf } from "../ports/transport.ts";

/** Continues the sender's trace around everything that follows. Nothing where OpenTelemetry is not installed. */
export const traceIncoming: IncomingStep = {
  name: "trace",
  wrap: (next, { source, handlerName, service, binding }, { telemetry }) => {
    if (telemetry === undefined) return next;
    const call = binding.verb === "answer" || binding.verb === "serve";
    const destination = addressOf(source);
    return (message) => {
      const details = { destination, handler: handlerName, service, attempt: message.attempt, call };
      return telemetry.received(message.envelope.header, details, () => next(message));
    };
  },
};

/** Writes the trace context into the header. */
export const traceOutgoing: OutgoingStep = {
  name: "trace",
  wrap: (next, { kind }, { telemetry }) => {
    if (telemetry === undefined) return next;
    const sort = kind === "query" || kind === "feed" ? "call" : "send";
    return (message) => {
      telemetry.sent(message.header, sort);
      return next(message);
    };
  },
};
