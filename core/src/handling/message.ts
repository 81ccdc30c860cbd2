import type { FeedCursor } from "@waybill/contracts";
import type { OpenContext, SendOptions } from "../context.ts";
import type { Body, Envelope, Header } from "../envelope.ts";
import type { Outcome } from "./outcome.ts";
import type { Delivery, Destination, Failure, Outgoing, StateChange } from "../ports/transport.ts";
import type { EventRows } from "../ports/event-rows.ts";
import type { SagaRows } from "../ports/saga-rows.ts";
import type { ViewRows } from "../ports/view-rows.ts";
import type { ScheduleRows } from "../ports/schedule-rows.ts";
import type { Decision } from "../deciders/decision.ts";
import type { SagaTurn } from "../sagas/turn.ts";
import type { Folding } from "../views/fold.ts";
import type { Route } from "../wiring/route.ts";
import type { AnyContract } from "../wiring/uses.ts";

/** A message on its way in, as the steps see it. Steps fill it from left to right. */
export interface Incoming {
  readonly route: Route;
  /** Opened by the wire. */
  envelope: Envelope;
  /** Absent for a call that came over a channel: nothing is locked and nothing is settled. */
  readonly delivery: Delivery | undefined;
  readonly lifetime: Lifetime;
  /** Counts runs in place too, so it can stand above `delivery.attempt`. */
  readonly attempt: number;
  failure: Failure | undefined;
  /** Filled by `decode`, replaced by `validate`, let go of when the message is being settled. */
  value: unknown;
  /** Filled by `dispatch`. */
  context: OpenContext | undefined;
  /** What the handler sent so far. Leaves when it succeeds. */
  held: Outgoing[];
  /** What the handler wrote to its session, set by the first write. Kept when it succeeds. */
  state?: StateChange | undefined;
  /** The open transaction of the service's store, set by `transact`. Only where there is one. */
  transaction?: unknown;
  /** The sagas in that transaction. */
  sagas?: SagaRows;
  /** The schedules in that transaction. */
  schedules?: ScheduleRows;
  /** When the first of those is due that its handler has scheduled. */
  keptAt?: number | undefined;
  /** What this message does to its saga, set by `saga`. */
  turn?: SagaTurn | undefined;
  /** The views in that transaction. */
  views?: ViewRows;
  /** The generations of its view that have not taken it yet, set by `transact`. */
  generations?: readonly number[];
  /** What this message does to its rows, set by `view`. */
  fold?: Folding | undefined;
  /** The streams of events in that transaction. */
  events?: EventRows;
  /** What this command decides, set by `decide`. */
  decision?: Decision | undefined;
  /** Names the stream of which what is held are events. */
  stream?: string | undefined;
  /** Somebody else changed its saga or its stream meanwhile, so that it runs once more, with that to itself. */
  raced?: boolean;
  /** What an `answer` or `serve` handler returned. */
  output: unknown;
  /** Items from the caller of a feed, still encoded. */
  readonly upstream: AsyncIterable<Envelope> | undefined;
  /** Where the caller of a feed goes on; checked. */
  resumeFrom: FeedCursor | undefined;
  /** Why its settlement did not bring what its outcome was: an error, or what the transport answered. Only then set. */
  trouble?: unknown;
}

/** Where a message's end can come from outside: a lost lock, a caller that gave up, a shutdown out of time. */
export interface Lifetime {
  /** Called when a handler first asks for its signal; `abort` may then be called, once, and at once when the end has come already. */
  onSignal(abort: (reason: unknown) => void): void;
  /** The end has come: running the handler again here is of no use. */
  readonly over: boolean;
  /** The lock is gone: nothing that is done here counts. */
  readonly lost?: boolean;
  /** The handler has ended and its settlement is on its way. */
  handled?(): void;
  /** Where it joins its batch, for a handler of batches. */
  readonly member?: Joining;
}

/** A place in a batch. */
export interface Joining {
  /** Answers what the handler of the batch decided about this message; rejects when it failed. */
  join(message: Incoming): Promise<Outcome>;
}

/** A header under construction. */
export type WritableHeader = { -readonly [Field in keyof Header]: Header[Field] };

/** A message on its way out, as the steps see it. */
export interface Sending {
  readonly contract: AnyContract;
  readonly service: string;
  readonly value: unknown;
  readonly options: SendOptions;
  /** The message whose handler sends this one. */
  readonly parent: Envelope | undefined;
  readonly header: WritableHeader;
  body: Body;
}

export function destinationOf(contract: AnyContract): Destination {
  switch (contract.kind) {
    case "command":
      return { kind: "queue", name: contract.queue };
    case "event":
      return { kind: "topic", name: contract.topic };
    case "stream":
      return { kind: "stream", name: contract.name };
    case "query":
    case "feed":
      return { kind: "queue", name: contract.name };
  }
}
