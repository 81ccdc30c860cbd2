import type { Body, Envelope, Header } from "../envelope.ts";
import { WaybillError, messageOf } from "../errors.ts";
import type { FrameType } from "../ports/channel.ts";
import type { Runtime } from "../runtime.ts";
import { judge, mayRetry } from "../handling/taxonomy.ts";
import { plainBody } from "../wire/wire.ts";

/** What an error says on the wire: never the stack, never the cause. */
export interface WireError {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>>;
}

const wireTextMax = 2_000;

/** Whether trying again may help is judged where the error is known; the caller only sees that it was an error over there. */
export function toWireError(error: unknown): WireError {
  const { kind, reason } = judge(error);
  const details = reason !== "HANDLER_FAILED" && error instanceof WaybillError ? error.details : {};
  return {
    code: reason,
    message: messageOf(error).slice(0, wireTextMax),
    retryable: mayRetry(kind),
    details,
  };
}

/** Makes an envelope of the call's own traffic, in answer to or on account of `call`. */
export function frame(
  runtime: Pick<Runtime, "environment" | "codec">,
  call: Header,
  content: {
    readonly type: FrameType;
    readonly body?: Body;
    readonly sequence?: number;
    readonly replyto?: string;
  },
): Envelope {
  const { type, body = "", sequence, replyto } = content;
  return {
    header: {
      specversion: "1.0",
      id: runtime.environment.id(),
      source: call.source,
      type,
      subject: call.type,
      time: new Date(runtime.environment.clock.now()).toISOString(),
      datacontenttype: runtime.codec.contentType,
      conversationid: call.conversationid,
      ...(call.correlationid !== undefined && { correlationid: call.correlationid }),
      ...(call.traceparent !== undefined && { traceparent: call.traceparent }),
      ...(sequence !== undefined && { sequence: String(sequence) }),
      ...(replyto !== undefined && { replyto }),
    },
    body,
  };
}

export function errorFrame(
  runtime: Pick<Runtime, "environment" | "codec">,
  call: Header,
  error: WireError,
): Envelope {
  let body: Body;
  try {
    body = runtime.codec.encode(error);
  } catch {
    body = runtime.codec.encode({ ...error, details: {} }); // details may hold what the codec cannot write
  }
  return frame(runtime, call, { type: "waybill.error", body });
}

/** Says that this process does not serve a feed, or not any longer, which is no word of its handler: another process may. */
export function closingFrame(
  runtime: Pick<Runtime, "environment" | "codec">,
  call: Header,
  reason: WaybillError,
): Envelope {
  const { header, body } = errorFrame(runtime, call, toWireError(reason));
  return { header: { ...header, type: "waybill.closing" satisfies FrameType }, body };
}

/** An answer that could not be opened, as the failure of its call. */
export function refusedFrame(
  { codec }: Pick<Runtime, "codec">,
  { header }: Envelope,
  refusal: WaybillError,
): Envelope {
  const { contentencoding: _encoding, signature: _signature, ...plain } = header;
  return { header: { ...plain, type: "waybill.error" }, body: codec.encode(toWireError(refusal)) };
}

/** The caller's side of an error that came over the wire. What the other side wrote is data, so every field is checked. */
export function readError(
  runtime: Pick<Runtime, "codec">,
  answer: Envelope,
  code: "ANSWER_FAILED" | "FEED_FAILED",
): WaybillError {
  const name = answer.header.subject ?? "the call";
  let wire: Partial<Record<keyof WireError, unknown>>;
  try {
    wire = Object(runtime.codec.decode(plainBody(answer))) as Partial<
      Record<keyof WireError, unknown>
    >;
  } catch (cause) {
    return new WaybillError(
      code,
      `"${name}" failed and its error could not be read: ${messageOf(cause)}.`,
      { cause },
    );
  }
  const text = typeof wire.message === "string" ? wire.message : "no reason given";
  if (wire.code === "DEADLINE_EXCEEDED")
    return new WaybillError("DEADLINE_EXCEEDED", text, { retryable: true });
  return new WaybillError(code, `"${name}" failed on the other side: ${text}`, {
    retryable: wire.retryable === true,
    details: {
      code: String(wire.code),
      ...(typeof wire.details === "object" && { details: wire.details }),
    },
  });
}
