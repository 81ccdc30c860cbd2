import { destinationOf } from "../handling/message.ts";
import type { IncomingStep, OutgoingStep } from "../handling/pipeline.ts";
import { addressOf } from "../ports/transport.ts";

/** Continues the sender's trace around everything that follows. Nothing where OpenTelemetry is not installed. */
export const traceIncoming: IncomingStep = {
  name: "trace",
  wrap: (next, { source, service, binding, batch }, { telemetry }) => {
    // A batch has one span, around its handler.
    if (telemetry === undefined || batch !== undefined) return next;
    const call = binding.verb === "answer" || binding.verb === "serve";
    const destination = addressOf(source);
    return (message) => {
      if (telemetry.idle) return next(message);
      return telemetry.received(
        message.envelope.header,
        { destination, service, call, attempt: message.attempt },
        async () => next(message),
      );
    };
  },
};

/** Writes the trace context into the header. */
export const traceOutgoing: OutgoingStep = {
  name: "trace",
  wrap: (next, contract, { telemetry }) => {
    if (telemetry === undefined) return next;
    const details = {
      destination: destinationOf(contract).name,
      call: contract.kind === "query" || contract.kind === "feed",
    };
    return (message) => {
      if (!telemetry.idle) telemetry.sent(message.header, details);
      return next(message);
    };
  },
};
