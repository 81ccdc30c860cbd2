/** Names a saga in its store. */
export interface SagaKey {
  /** The name of the service that it is. */
  readonly saga: string;
  readonly id: string;
}

/** A saga as it is stored. Times are milliseconds since 1970 on the clock of the bus. */
export interface SagaRow extends SagaKey {
  /** 1 when it is started, one more with each save. */
  readonly version: number;
  readonly phase: string;
  /** Its state and what belongs to it, as JSON. */
  readonly body: string;
  readonly startedAt: number;
  readonly changedAt: number;
  /** Undefined while it runs. */
  readonly finishedAt: number | undefined;
  /** From when on it may be forgotten; undefined while it runs. */
  readonly forgetAt: number | undefined;
}

/** The same without its body. */
export type SagaLine = Omit<SagaRow, "body">;

/** The sagas, in an open transaction. What it does stands or falls with it. */
export interface SagaRows {
  /** `lock`: waits for other transactions that change it, and lets them wait until this one ends. */
  load(
    key: SagaKey,
    options?: { readonly lock?: boolean },
  ): SagaRow | undefined | Promise<SagaRow | undefined>;
  /** False: there is one already, which stays as it is. Waits for another transaction that inserts the same. */
  insert(row: SagaRow): boolean | Promise<boolean>;
  /** In place of version `row.version - 1`. False: it has another version by now, or is gone, and nothing is written. */
  update(row: SagaRow): boolean | Promise<boolean>;
}

/** The sagas, as they are committed. */
export interface Sagas {
  find(key: SagaKey): Promise<SagaRow | undefined>;
  /** In the order of ids. */
  list(page: SagaPage): Promise<readonly SagaLine[]>;
  /** Removes sagas whose `forgetAt` is `now` or before, `limit` of them at most. Answers how many. */
  forget(now: number, limit: number): Promise<number>;
}

export interface SagaPage {
  readonly saga: string;
  readonly limit: number;
  /** Only those in this phase. */
  readonly phase?: string;
  /** Only those behind this id. */
  readonly after?: string;
}
