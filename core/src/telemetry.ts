import type { Header } from "./envelope.ts";
import type { WritableHeader } from "./message.ts";

/** Spans for what comes and goes, by OpenTelemetry's messaging conventions. */
export interface Telemetry {
  /** Records a send and writes its context into the header. */
  sent(header: WritableHeader, kind: "send" | "call"): void;
  /** Runs `work` inside a span that continues the sender's trace. */
  received<Result>(header: Header, details: ReceivedDetails, work: () => Promise<Result>): Promise<Result>;
}

export interface ReceivedDetails {
  readonly destination: string;
  readonly handler: string;
  readonly service: string;
  readonly attempt: number;
  readonly call: boolean;
}

/** Undefined when the optional peer `@opentelemetry/api` is not installed. */
export async function loadTelemetry(system: string): Promise<Telemetry | undefined> {
  void system;
  return undefined;
}
