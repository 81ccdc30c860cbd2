import type { Pool } from "pg";
import type {
  AsideRow,
  Environment,
  Outbox,
  OutboxFailure,
  OutboxRow,
  OutboxState,
  Renewal,
} from "@waybill/core";
import { storageError } from "./errors.ts";
import { type StoredAside, type StoredRow, readRow } from "./rows.ts";
import { forgetViews } from "./views.ts";

interface OutboxParts {
  readonly pool: Pool;
  readonly name: string;
  readonly environment: Environment;
  readonly inboxMs: number;
}

/** Records of the inbox that are forgotten in one step. */
const forgetMax = 1_000;
const countMax = 10_000;
const failureTextMax = 4_000;
const columns = "key, kind, name, header, body, is_text, not_before, not_after, stream";
const mine = "owner in (select id from waybill_instance where keeper = $1)";

const everyKind = ["queue", "topic", "stream"] as const;

export class PostgresOutbox implements Outbox {
  readonly #parts: OutboxParts;
  /** Who owns what is written now. Another one after others took this process for dead. */
  instance: string;

  constructor(parts: OutboxParts) {
    this.#parts = parts;
    this.instance = parts.environment.id();
  }

  /** Whatever is committed and not removed, in every call: serial keys are committed out of order, so nothing remembers how far it read. */
  async own(
    limit: number,
    kinds: readonly OutboxRow["outgoing"]["to"]["kind"][] = everyKind,
  ): Promise<readonly OutboxRow[]> {
    const rows = await this.#run<StoredRow>(
      `select ${columns} from waybill_outbox where ${mine} and kind = any($3::text[]) order by key limit $2`,
      [this.instance, limit, kinds],
    );
    return rows.map(readRow);
  }

  async streams(names: readonly string[]): Promise<ReadonlyMap<string, readonly number[]>> {
    const rows = await this.#run<{ readonly stream: string; readonly keys: readonly string[] }>(
      `select stream, array_agg(key::text order by key) as keys from waybill_outbox
        where stream = any($1::text[]) and owner is not null group by stream`,
      [names],
    );
    return new Map(rows.map(({ stream, keys }) => [stream, keys.map(Number)]));
  }

  async sent(rows: readonly OutboxRow[]): Promise<void> {
    await this.#run("delete from waybill_outbox where key = any($1::bigint[])", [
      rows.map(({ key }) => key),
    ]);
  }

  async setAside({ key }: OutboxRow, { reason, message }: OutboxFailure): Promise<void> {
    await this.#run(
      "update waybill_outbox set owner = null, reason = $2, message = $3 where key = $1",
      [key, reason, message.slice(0, failureTextMax)],
    );
  }

  /** Each statement stands for itself: whoever is interrupted between them goes on the next time. */
  async renew(leaseMs: number): Promise<Renewal> {
    const until = "clock_timestamp() + $2 * interval '1 millisecond'";
    const renewed = await this.#run(
      `update waybill_instance set until = ${until} where id = $1 and keeper = $1 returning id`,
      [this.instance, leaseMs],
    );
    const lost = renewed.length === 0;
    if (lost) {
      const fresh = this.#parts.environment.id();
      await this.#run(
        `insert into waybill_instance (id, keeper, until) values ($1, $1, ${until})`,
        [fresh, leaseMs],
      );
      this.instance = fresh;
    }
    const taken = await this.#run(
      `update waybill_instance set keeper = $1 where keeper <> $1
        and (keeper <> id or until < clock_timestamp()) and keeper not in
        (select id from waybill_instance where keeper = id and until >= clock_timestamp())
        returning id`,
      [this.instance],
    );
    if (taken.length === 0) await this.#forgetKept();
    const forgotten = await this.#run(
      `delete from waybill_inbox where ctid = any (array(select ctid from waybill_inbox
        where handled_at < clock_timestamp() - $1 * interval '1 millisecond' limit $2)) returning 1`,
      [this.#parts.inboxMs, forgetMax],
    );
    const isMore = await forgetViews(this.#parts.pool, this.#parts.name, {
      inboxMs: this.#parts.inboxMs,
      now: this.#parts.environment.clock.now(),
      limit: forgetMax,
    });
    return { lost, taken: taken.length > 0, more: isMore || forgotten.length === forgetMax };
  }

  /** Others may take over at once. */
  async leave(): Promise<void> {
    await this.#run(
      "update waybill_instance set until = '-infinity' where id = $1 and keeper = $1",
      [this.instance],
    );
  }

  async state(): Promise<OutboxState> {
    const [row] = await this.#run<Record<"waiting" | "aside" | "oldest", string | null>>(
      `select (select count(*) from (select 1 from waybill_outbox where owner is not null limit $1) as few) as waiting,
        (select count(*) from waybill_outbox where owner is null) as aside,
        (select extract(epoch from clock_timestamp() - stored_at) * 1000 from waybill_outbox
          where owner is not null order by key limit 1) as oldest`,
      [countMax],
    );
    return {
      waiting: Number(row?.waiting ?? 0),
      aside: Number(row?.aside ?? 0),
      oldestMs: Math.max(0, Number(row?.oldest ?? 0)),
    };
  }

  async aside(page: { limit: number; after?: number }): Promise<readonly AsideRow[]> {
    const rows = await this.#run<StoredAside>(
      `select ${columns}, reason, message from waybill_outbox
        where owner is null and key > $1 order by key limit $2`,
      [page.after ?? 0, page.limit],
    );
    return rows.map((row) => ({
      ...readRow(row),
      failure: { reason: row.reason, message: row.message },
    }));
  }

  /** A new key: it stands behind what waits. */
  async retry(keys: readonly number[]): Promise<number> {
    const rows = await this.#run(
      `with taken as (delete from waybill_outbox where key = any($2::bigint[]) and owner is null returning *)
        insert into waybill_outbox (owner, kind, name, header, body, is_text, not_before, not_after, stream)
        select $1, kind, name, header, body, is_text, not_before, not_after, stream from taken order by key returning key`,
      [this.instance, keys],
    );
    return rows.length;
  }

  async discard(keys: readonly number[]): Promise<number> {
    const rows = await this.#run(
      "delete from waybill_outbox where key = any($1::bigint[]) and owner is null returning key",
      [keys],
    );
    return rows.length;
  }

  /** Who died and has nothing left. One that wakes at this moment keeps its row, by the foreign key. */
  async #forgetKept(): Promise<void> {
    try {
      await this.#run(
        `delete from waybill_instance as dead where keeper = $1 and id <> $1
          and not exists (select 1 from waybill_outbox where owner = dead.id)`,
        [this.instance],
      );
    } catch (error) {
      const { code } = Object((error as Error).cause) as { code?: unknown };
      if (code !== "23503") throw error;
    }
  }

  async #run<Row = unknown>(text: string, values: readonly unknown[]): Promise<readonly Row[]> {
    try {
      const { rows } = await this.#parts.pool.query(text, [...values]);
      return rows as Row[];
    } catch (error) {
      throw storageError(error, this.#parts.name);
    }
  }
}
