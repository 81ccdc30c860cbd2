import type { Event, Query, Schema, Stream } from "@waybill/contracts";
import type { Verbs } from "../context.ts";
import type { Header } from "../envelope.ts";
import type { Logger } from "../ports/logger.ts";

/** What keeps a view. */
export type ViewContract = Event | Stream;

/** What a reducer gets beside its row and its message. */
export interface ViewContext {
  /** The key of the row. */
  readonly key: string;
  /** Of the message; undefined for what comes from a backfill. */
  readonly header: Header | undefined;
}

/** From a row and a message to the next row; undefined removes it. The same row and message give the same row: it may run twice. */
export type Reducer = (row: any, value: any, context: ViewContext) => unknown;

/** One contract that keeps a view. */
export interface ViewSource {
  readonly contract: ViewContract;
  readonly key: (value: any) => string;
  readonly version: ((value: any) => number) | undefined;
  /** Names what the versions count. */
  readonly sequence: string;
  /** The order does not matter. */
  readonly commutes: boolean;
  /** The key is one of the view's own, not the contract's. */
  readonly isRekeyed: boolean;
  readonly reduce: Reducer;
  readonly place: string;
}

/** What a backfill gives: one message, as if it had come. */
export interface ViewFill {
  readonly contract: ViewContract;
  readonly value: unknown;
}

/** What a backfill gets. */
export interface BackfillContext<Asks extends Query = Query> extends Pick<Verbs<Asks>, "ask"> {
  /** Aborted when the rebuild has ended otherwise. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
  now(this: void): Date;
}

export interface Backfill {
  /** The contracts whose messages it gives. */
  readonly contracts: readonly ViewContract[];
  readonly run: (context: BackfillContext<any>) => AsyncIterable<ViewFill>;
  readonly place: string;
}

/** Everything that a view says of itself. */
export interface ViewDefinition {
  readonly name: string;
  readonly state: Schema<any>;
  readonly sources: readonly ViewSource[];
  readonly backfill: Backfill | undefined;
  readonly place: string;
}

/** A view's part of a binding. */
export interface ViewBinding {
  readonly definition: ViewDefinition;
  readonly source: ViewSource;
}
