/** Names a stream of events in its store. */
export interface StreamKey {
  /** The name of the service that decides. */
  readonly decider: string;
  readonly key: string;
}

/** An event as it is stored. Never changed; a stream that is forgotten loses its rows, and leaves one that says so. */
export interface EventRow extends StreamKey {
  /** 1 for the first of its stream, one more for each: none is left out. */
  readonly version: number;
  /** Also of the message with which it was published. */
  readonly id: string;
  /** The name of its contract; empty where the stream was forgotten up to here. */
  readonly type: string;
  /** The version of the contract that wrote it. */
  readonly contractVersion: number;
  /** Milliseconds since 1970 on the clock of the bus. */
  readonly time: number;
  /** The payload, as JSON. */
  readonly body: string;
  /** What led to it, as JSON. */
  readonly metadata: string;
}

/** The state of a stream after one of its versions. May be missing, or be of no use: the events are the truth. */
export interface SnapshotRow extends StreamKey {
  readonly version: number;
  /** Tells what made it, so that no other code goes on from it. */
  readonly fingerprint: string;
  readonly body: string;
}

/** The beginning of a stream. */
export interface StreamRows {
  /** Undefined where there is none with that fingerprint. */
  readonly snapshot: SnapshotRow | undefined;
  /** The first events behind the snapshot, in order. */
  readonly events: readonly EventRow[];
}

export interface LoadOptions {
  /** Of the snapshot that is of use. */
  readonly fingerprint: string;
  /** Most events. */
  readonly limit: number;
  /** Waits for other transactions that append to the stream, and lets them wait until this one ends. */
  readonly lock?: boolean;
}

export interface StreamPage {
  /** Only those behind this version. */
  readonly after: number;
  readonly limit: number;
}

/** The events, in an open transaction. What it does stands or falls with it. */
export interface EventRows {
  load(key: StreamKey, options: LoadOptions): StreamRows | Promise<StreamRows>;
  /** In order. */
  read(key: StreamKey, page: StreamPage): readonly EventRow[] | Promise<readonly EventRow[]>;
  /** The last version; 0 where there is none. */
  last(key: StreamKey, options: Pick<LoadOptions, "lock">): number | Promise<number>;
  /**
   * Appends to one stream, in order; the first of the rows goes behind the version before its own. False: that is not the last version any more,
   * or another transaction is appending, and nothing is written.
   */
  append(rows: readonly EventRow[]): boolean | Promise<boolean>;
  /** In place of an older one. */
  keep(snapshot: SnapshotRow): void | Promise<void>;
  /** Removes what stands before this version, and the snapshot. */
  forget(key: StreamKey, before: number): void | Promise<void>;
}

/** The events, as they are committed. */
export interface Events {
  load(key: StreamKey, options: Omit<LoadOptions, "lock">): Promise<StreamRows>;
  read(key: StreamKey, page: StreamPage): Promise<readonly EventRow[]>;
  /** One page of all streams of a decider. Error: OPTION_INVALID for a position that this store has not given. */
  replay(page: ReplayPage): Promise<Replayed>;
}

export interface ReplayPage {
  readonly decider: string;
  /** Only those behind this position. */
  readonly after?: string;
  /** What the first page answered. */
  readonly until?: string;
  readonly limit: number;
}

export interface ReplayedRow extends EventRow {
  readonly position: string;
}

export interface Replayed {
  /** Those of one stream in its order; and nothing is ever committed before one that was given. */
  readonly rows: readonly ReplayedRow[];
  /** Names what was committed when the first page was asked for. */
  readonly until: string;
  /** All of that has been given. Where it has not, and there are no rows, an open transaction may still write before what is committed. */
  readonly isComplete: boolean;
}
