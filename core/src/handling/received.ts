import type { FeedCursor } from "@waybill/contracts";
import type { Entry } from "./entry.ts";
import type { Envelope } from "../envelope.ts";
import type { HandlerContext } from "./handler-context.ts";
import type { Incoming } from "./message.ts";
import type { Delivery, Failure, Outgoing, StateChange } from "../ports/transport.ts";
import type { Route } from "../wiring/route.ts";

/**
 * A delivery at the beginning of its way through the steps.
 *
 * A class, as all that lives as long as its message: V8 counts how many objects of a literal outlive a young collection. In a burst all of
 * them do, and from then on it makes them in the old generation, where each keeps its whole message until the next full collection.
 */
export class Received implements Incoming {
  readonly route: Route;
  envelope: Envelope;
  readonly delivery: Delivery;
  readonly lifetime: Entry;
  readonly attempt: number;
  failure: Failure | undefined;
  value: unknown = undefined;
  context: HandlerContext | undefined = undefined;
  held: Outgoing[] = [];
  output: unknown = undefined;
  readonly upstream: undefined = undefined;
  resumeFrom: FeedCursor | undefined = undefined;
  declare state?: StateChange | undefined;
  declare transaction?: unknown;
  declare trouble?: unknown;

  constructor(route: Route, envelope: Envelope, entry: Entry) {
    this.route = route;
    this.envelope = envelope;
    this.delivery = entry.delivery;
    this.lifetime = entry;
    this.attempt = entry.attempt;
    this.failure = entry.failure;
  }
}
