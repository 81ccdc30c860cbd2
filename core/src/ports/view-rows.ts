/** Names a row of a view in its store. */
export interface ViewKey {
  /** The name of the service that it is. */
  readonly view: string;
  readonly key: string;
}

/**
 * The same in one generation of the view. There is one that is read, and while the view is rebuilt a second one that is not read yet; both are
 * kept by what arrives.
 */
export interface ViewPlace extends ViewKey {
  readonly generation: number;
}

/** A row as it is stored. Times are milliseconds since 1970 on the clock of the bus. */
export interface ViewRow {
  readonly key: string;
  /** JSON; undefined for a row that was removed and is known still, for the sake of its versions. */
  readonly body: string | undefined;
  /** By sequence: the newest version that it has taken, as JSON. */
  readonly versions: string;
  readonly changedAt: number;
}

/** What is noted of a message that a view takes. */
export interface ViewMessage {
  readonly view: string;
  /** Its type and its id. */
  readonly message: string;
  /** The id of the message whose handler sent it. */
  readonly cause: string | undefined;
  /** The id of the message that began all this, where that is neither it nor its cause. */
  readonly conversation: string | undefined;
}

/** How far a view has come in one source. */
export interface ViewMark {
  readonly view: string;
  readonly generation: number;
  /** The name of the contract. */
  readonly source: string;
  /** Of a stream; of events one of a few, so that messages of different keys do not wait for each other. */
  readonly partition: number;
  /** Where the item stands; undefined where order is not by position. */
  readonly offset: number | undefined;
  /** When the message was sent. */
  readonly sentAt: number;
  readonly at: number;
}

/** What is noted of all marks of one source in the generation that is read. */
export interface ViewProgress {
  readonly source: string;
  /** Messages that were taken. */
  readonly applied: number;
  /** When the newest of them was sent. */
  readonly sentAt: number;
  /** When the last of them was taken. */
  readonly appliedAt: number;
  /** Of a stream: by partition, the offset of the last item. */
  readonly offsets: readonly { readonly partition: number; readonly offset: number }[];
}

/** The generations of a view. */
export interface ViewState {
  /** The one that is read. */
  readonly generation: number;
  /** Undefined while it is not rebuilt. */
  readonly building:
    | {
        readonly generation: number;
        readonly since: number;
        /** Partitions of which it has taken nothing, for what it waits for has not come. */
        readonly closed: number;
      }
    | undefined;
  readonly progress: readonly ViewProgress[];
}

export interface ViewPage {
  readonly view: string;
  readonly limit: number;
  /** Only those behind this key. */
  readonly after?: string;
}

type Result<Value> = Value | Promise<Value>;

/** Reads of the generation that is read, without rows that were removed. */
export interface ViewReads {
  find(key: ViewKey): Result<ViewRow | undefined>;
  /** In the order of keys. */
  list(page: ViewPage): Result<readonly ViewRow[]>;
}

/** The views, in an open transaction. What it does stands or falls with it. */
export interface ViewRows extends ViewReads {
  /**
   * Notes that a message is taken, in every generation. Answers those that did not know it, the older first. Waits for another transaction that notes the same.
   * Error: STATE_INVALID where the view was never opened.
   */
  claim(message: ViewMessage): Result<readonly number[]>;
  /** Waits for other transactions that change the row, and lets them wait until this one ends, also where there is none yet. */
  load(place: ViewPlace): Result<ViewRow | undefined>;
  /** In its place, whatever is there; only after `load`. Without body and without versions it is removed for good. */
  save(place: Omit<ViewPlace, "key">, row: ViewRow): Result<void>;
  /**
   * Notes how far it has come. False, and nothing is noted: the generation that is read has come as far as this offset, or the one that is built
   * waits for an item that stands before it.
   */
  advance(mark: ViewMark): Result<boolean>;
}

/** A partition that a generation reads again: it takes nothing of it before an item that stands before this offset. */
export interface ViewStart {
  readonly source: string;
  readonly partition: number;
  readonly offset: number;
}

/** The views, as they are committed. */
export interface Views extends ViewReads {
  /** A view has its first generation from now on, where it has none. */
  declare(view: string): Promise<void>;
  state(view: string): Promise<ViewState | undefined>;
  /** Whether a message is taken, or one that it has caused, in the generation that is read or the one that was read before. By its id and its types. */
  isApplied(view: string, id: string, types: readonly string[]): Promise<boolean>;
  /** Begins a generation in place of one that is being built. Answers its number. */
  begin(view: string, starts: readonly ViewStart[], now: number): Promise<number>;
  /** From now on this generation is read, and no other. False: it is not the one that is being built. */
  finish(view: string, generation: number): Promise<boolean>;
  /** It is not built any more. */
  abandon(view: string, generation: number): Promise<void>;
}
