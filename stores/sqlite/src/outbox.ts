import type {
  AsideRow,
  Environment,
  MachineClock,
  Outbox,
  OutboxFailure,
  OutboxRow,
  OutboxState,
  Renewal,
} from "@waybill/core";
import { type StoredAside, type StoredRow, readRow } from "./rows.ts";
import type { Statements } from "./statements.ts";

type OutboxKinds = readonly OutboxRow["outgoing"]["to"]["kind"][];

interface OutboxParts {
  readonly sql: Statements;
  readonly environment: Environment;
  readonly inboxMs: number;
  /** The clock of leases. */
  readonly lease: MachineClock;
  /** Runs in a transaction, together with others. */
  readonly write: <Result>(act: () => Result) => Promise<Result>;
  /** Reads outside of it: with nothing that is not committed. */
  readonly read: <Result>(act: (sql: Statements) => Result) => Promise<Result>;
  /** What views need not remember any more, one small step of it; true: there is more. In a transaction. */
  readonly forget: (before: number, limit: number) => boolean;
}

/** Records of the inbox that are forgotten in one step. */
const forgetMax = 1_000;
/** Waiting messages that are counted. */
const countMax = 10_000;
/** Characters kept of why a message was refused. */
const failureTextMax = 4_000;

export class SqliteOutbox implements Outbox {
  readonly #parts: OutboxParts;
  /** Who owns what is written now. Another one after others took this process for dead. */
  instance: string;

  constructor(parts: OutboxParts) {
    this.#parts = parts;
    this.instance = parts.environment.id();
  }

  own(limit: number, kinds?: OutboxKinds): Promise<readonly OutboxRow[]> {
    return this.#parts.read(({ own, ownOfKinds }) => {
      const rows =
        kinds === undefined
          ? own.all(this.instance, limit)
          : ownOfKinds.all(this.instance, JSON.stringify(kinds), limit);
      return (rows as unknown as StoredRow[]).map(readRow);
    });
  }

  streams(streams: readonly string[]): Promise<ReadonlyMap<string, readonly number[]>> {
    return this.#parts.read((sql) => {
      const rows = sql.streams.all(JSON.stringify(streams)) as unknown as {
        readonly stream: string;
        readonly key: number;
      }[];
      const byStream = Map.groupBy(rows, ({ stream }) => stream);
      return new Map([...byStream].map(([stream, list]) => [stream, list.map(({ key }) => key)]));
    });
  }

  sent(rows: readonly OutboxRow[]): Promise<void> {
    const { sent } = this.#parts.sql;
    return this.#parts.write(() => {
      for (const { key } of rows) sent.run(key);
    });
  }

  setAside({ key }: OutboxRow, { reason, message }: OutboxFailure): Promise<void> {
    const { setAside } = this.#parts.sql;
    return this.#parts.write(() => {
      setAside.run(reason, message.slice(0, failureTextMax), key);
    });
  }

  /** On the machine's own clock where there is one, for all processes on the file are on one machine. */
  async renew(leaseMs: number): Promise<Renewal> {
    const { sql, environment, inboxMs, lease, forget } = this.#parts;
    const now = Math.floor(lease.now());
    const fresh = environment.id();
    const done = await this.#parts.write(() => {
      const isAlive = sql.renew.run(this.instance, now + leaseMs).changes === 1;
      const me = isAlive ? this.instance : fresh;
      if (!isAlive) sql.register.run(me, now + leaseMs, lease.boot);
      const taken = sql.takeOver.run(me, now, lease.boot).changes !== 0;
      if (!taken) sql.forgetKept.run(me);
      const before = Math.floor(environment.clock.now()) - inboxMs;
      const forgotten = sql.forget.run(before, forgetMax).changes;
      const isMore = forget(before, forgetMax);
      return { me, lost: !isAlive, taken, more: forgotten === forgetMax || isMore };
    });
    const { me, ...renewal } = done;
    this.instance = me;
    return renewal;
  }

  /** Others may take over at once. */
  async leave(): Promise<void> {
    await this.#parts.write(() => this.#parts.sql.leave.run(this.instance));
  }

  state(): Promise<OutboxState> {
    return this.#parts.read(({ state }) => {
      const row = state.get(countMax) as unknown as Record<
        "waiting" | "aside" | "oldest",
        number | null
      >;
      const now = this.#parts.environment.clock.now();
      const oldestMs = row.oldest === null ? 0 : Math.max(0, now - row.oldest);
      return { waiting: row.waiting ?? 0, aside: row.aside ?? 0, oldestMs };
    });
  }

  aside({ limit, after = 0 }: { limit: number; after?: number }): Promise<readonly AsideRow[]> {
    return this.#parts.read(({ aside }) =>
      (aside.all(after, limit) as unknown as StoredAside[]).map((row) => ({
        ...readRow(row),
        failure: { reason: row.reason, message: row.message },
      })),
    );
  }

  retry(keys: readonly number[]): Promise<number> {
    const { sql, environment } = this.#parts;
    return this.#parts.write(() =>
      keys
        .map((key) => {
          const { changes } = sql.retry.run(
            this.instance,
            Math.floor(environment.clock.now()),
            key,
          );
          sql.discard.run(key);
          return Number(changes);
        })
        .reduce((sum, count) => sum + count, 0),
    );
  }

  discard(keys: readonly number[]): Promise<number> {
    const { discard } = this.#parts.sql;
    return this.#parts.write(() =>
      keys.reduce((sum, key) => sum + Number(discard.run(key).changes), 0),
    );
  }
}
