import type { Schema } from "@waybill/contracts";
import type { BatchBounds } from "../batch/batch.ts";
import type { Source } from "../ports/transport.ts";
import type { RetryPolicy } from "../handling/retry.ts";
import type { Binding } from "../service.ts";
import type { AnyContract } from "./uses.ts";

/** A binding with everything decided that can be decided before a message comes. */
export interface Route {
  readonly service: string;
  readonly binding: Binding;
  readonly contract: AnyContract;
  readonly source: Source;
  /** For logs and dead letters: `ordering.handle(ordering.place-order)`. */
  readonly handlerName: string;
  readonly schema: Schema<any>;
  /** The binding's own, and the bus's where it has none. */
  readonly options: Binding["options"];
  readonly policy: Required<RetryPolicy>;
  /** A failing message waits in its lane instead of going back to the broker, because others must not overtake it. */
  readonly inPlace: boolean;
  /** Undefined for a handler that takes one message. */
  readonly batch: Required<BatchBounds> | undefined;
}

/** All routes that share one source, and how it is read. */
export interface Intake {
  readonly source: Source;
  readonly routes: readonly Route[];
  /** Handlers at a time: of messages, or of batches. */
  readonly concurrency: number;
  readonly prefetch: number;
  readonly lockMs: number;
  readonly start: "earliest" | "latest";
}

export function inputSchema(contract: AnyContract): Schema<any> {
  switch (contract.kind) {
    case "command":
    case "query":
    case "feed":
      return contract.input;
    case "event":
      return contract.payload;
    case "stream":
      return contract.item;
  }
}
