import { join } from "node:path";
import { type TransportFactory, embedded } from "waybill";

/** Where the shop's data is, and what carries its messages. */
export interface Place {
  readonly directory: string;
  /** A URL for `connect`, such as amqp://127.0.0.1; without it the embedded broker in the same directory. */
  readonly transport: string | undefined;
}

/** The one line that differs between brokers: no service knows which one it runs on. */
export function transportOf({ directory, transport }: Place): TransportFactory | string {
  return transport ?? embedded({ directory: join(directory, "broker") });
}
