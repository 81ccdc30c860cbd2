import type { Body, Envelope, Failure, Header, Outgoing, Topology } from "@waybill/core";

const time = "2030-01-01T00:00:00.000Z";

/** A message with the fields that every message has, and those given. Its id is its type and body, which cases keep distinct. */
export function envelope(body: Body, header: Partial<Header> = {}): Envelope {
  const type = header.type ?? "suite.happened";
  return {
    header: {
      specversion: "1.0",
      id: `${type}:${typeof body === "string" ? body.slice(0, 60) : body.byteLength}`,
      source: "/services/suite",
      time,
      datacontenttype: "text/plain",
      conversationid: "suite",
      ...header,
      type,
    },
    body,
  };
}

interface Extra extends Pick<Outgoing, "notBefore" | "notAfter" | "discardExpired"> {
  readonly header?: Partial<Header>;
}

export function toQueue(name: string, body: Body, options: Extra = {}): Outgoing {
  const { header, ...extra } = options;
  return { to: { kind: "queue", name }, envelope: envelope(body, header), ...extra };
}

export function toTopic(name: string, body: Body, options: Extra = {}): Outgoing {
  const { header, ...extra } = options;
  return { to: { kind: "topic", name }, envelope: envelope(body, header), ...extra };
}

/** An item for a stream; `key` decides its partition. */
export function toStream(name: string, body: Body, key: string): Outgoing {
  return { to: { kind: "stream", name }, envelope: envelope(body, { partitionkey: key }) };
}

export function topology(parts: Partial<Topology>): Topology {
  return { queues: [], topics: [], subscriptions: [], streams: [], ...parts };
}

export function failure(attempts: number, at: number = Date.parse(time)): Failure {
  return {
    reason: "HANDLER_FAILED",
    message: `attempt ${attempts} failed: "quoted", ünïcode\nand a second line`,
    stack: "Error: attempt failed\n    at handler (file:///suite.ts:1:1)",
    service: "suite-service",
    handler: "suite-handler",
    attempts,
    firstFailedAt: at,
    lastFailedAt: at + attempts,
  };
}

/** Numbers from 0 to count - 1 as text. */
export function numbers(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => String(index));
}
