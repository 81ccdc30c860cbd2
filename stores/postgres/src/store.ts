import type { Pool, PoolClient } from "pg";
import {
  type EventRows,
  type Events,
  type Outgoing,
  type OutboxRow,
  type Store,
  type StoreHost,
  type SagaRows,
  type Sagas,
  type ScheduleRows,
  type Schedules,
  type StoreTransaction,
  type TransactionOptions,
  type ViewRows,
  type Views,
  WaybillError,
} from "@waybill/core";
import { type PostgresTransaction, clientView } from "./client.ts";
import { commitError, storageError } from "./errors.ts";
import type { Settings } from "./options.ts";
import { eventRows, events } from "./events.ts";
import { PostgresOutbox } from "./outbox.ts";
import { parametersOf } from "./rows.ts";
import { sagaRows, sagas } from "./sagas.ts";
import { scheduleRows, schedules } from "./schedules.ts";
import { Slots } from "./slots.ts";
import { viewRows } from "./view-rows.ts";
import { views } from "./views.ts";

/** Rows in one INSERT; PostgreSQL takes 65,535 parameters. */
const insertMax = 500;
const columnsMax = 8;
/** Up to so many rows the statement is kept by the server. */
const namedMax = 8;

type Work<Result> = (
  transaction: StoreTransaction<PostgresTransaction>,
) => Result | Promise<Result>;

export class PostgresStore implements Store<PostgresTransaction> {
  readonly name: string;
  readonly outbox: PostgresOutbox;
  readonly sagas: Sagas;
  readonly views: Views;
  readonly schedules: Schedules;
  readonly events: Events;
  readonly #pool: Pool;
  readonly #host: StoreHost;
  readonly #slots: Slots;
  #isClosed = false;

  constructor(pool: Pool, settings: Settings, host: StoreHost) {
    const { name, inboxMs, connectionsMax } = settings;
    const { environment } = host;
    this.name = name;
    this.#pool = pool;
    this.#host = host;
    this.#slots = new Slots(connectionsMax, environment);
    this.outbox = new PostgresOutbox({ pool, name, environment, inboxMs });
    this.sagas = sagas(pool, name);
    this.views = views(pool, name);
    this.schedules = schedules(pool, name);
    this.events = events(pool, name);
  }

  async transaction<Result>(
    work: Work<Result>,
    { waitMsMax }: TransactionOptions = {},
  ): Promise<Result> {
    if (this.#isClosed) throw new WaybillError("CLOSED", `The store ${this.name} is closed.`);
    await this.#slots.take(waitMsMax);
    try {
      const client = await this.#own(() => this.#pool.connect());
      return await this.#run(client, work);
    } finally {
      this.#slots.give();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      await this.outbox.leave();
    } finally {
      await this.#pool.end();
    }
  }

  async #run<Result>(client: PoolClient, work: Work<Result>): Promise<Result> {
    let isSound = false;
    try {
      const begun = this.#own(() => client.query(begin));
      // Awaited below; until then it may fail in silence.
      begun.catch(() => undefined);
      const open = new OpenTransaction(client, this.outbox.instance, this.name);
      let result: Result;
      try {
        result = await work(open);
        open.close();
        await begun;
        checkOpen(client);
      } catch (error) {
        open.close();
        isSound = await rolledBack(client);
        throw error;
      }
      await this.#commit(client, open.write());
      isSound = true;
      if (open.rows.length > 0) this.#host.committed(open.rows);
      return result;
    } finally {
      client.release(!isSound);
    }
  }

  /** A transaction in which a statement failed is rolled back by COMMIT, which says so and does not fail. */
  async #commit(client: PoolClient, writing: Promise<unknown>): Promise<void> {
    const [written, committed] = await Promise.allSettled([writing, client.query(commit)]);
    if (committed.status === "rejected") throw commitError(committed.reason, this.name);
    if (written.status === "rejected") throw storageError(written.reason, this.name);
    if (committed.value.command === "COMMIT") return;
    throw new WaybillError(
      "STORAGE_FAILED",
      "A statement of this transaction failed and its error was not thrown, so that PostgreSQL rolled everything back. Use a savepoint around what may fail.",
    );
  }

  async #own<Result>(act: () => Promise<Result>): Promise<Result> {
    try {
      return await act();
    } catch (error) {
      throw storageError(error, this.name);
    }
  }
}

const begin = { name: "waybill-begin", text: "begin" };
const commit = { name: "waybill-commit", text: "commit" };

/** Whatever came behind would be stored alone, at once, and for good. */
function checkOpen(client: PoolClient): void {
  const status = client.getTransactionStatus();
  if (status === "T" || status === "E") return;
  throw new WaybillError(
    "STORAGE_FAILED",
    "The transaction of this handler was ended inside it, so that a part of it may be stored. Waybill begins, commits and rolls back; use savepoints.",
  );
}

/** False: the connection is of no use any more. */
async function rolledBack(client: PoolClient): Promise<boolean> {
  try {
    await client.query("rollback");
    return true;
  } catch {
    return false;
  }
}

class OpenTransaction implements StoreTransaction<PostgresTransaction> {
  readonly client: PostgresTransaction;
  readonly close: () => void;
  readonly rows: OutboxRow[] = [];
  readonly #client: PoolClient;
  readonly #owner: string;
  readonly #name: string;
  readonly #batches: Batch[] = [];

  constructor(client: PoolClient, owner: string, name: string) {
    const { view, close } = clientView(client);
    this.client = view;
    this.close = close;
    this.#client = client;
    this.#owner = owner;
    this.#name = name;
  }

  get sagas(): SagaRows {
    return sagaRows(this.#client, this.#name, () => checkOpen(this.#client));
  }

  get schedules(): ScheduleRows {
    return scheduleRows(this.#client, this.#name, () => checkOpen(this.#client));
  }

  get views(): ViewRows {
    return viewRows(this.#client, this.#name, () => checkOpen(this.#client));
  }

  get events(): EventRows {
    return eventRows(this.#client, this.#name, () => checkOpen(this.#client));
  }

  async claim(address: string, message: string): Promise<boolean> {
    try {
      const { rowCount } = await this.#client.query({
        name: "waybill-claim",
        text: "insert into waybill_inbox (address, message) values ($1, $2) on conflict do nothing",
        values: [address, message],
      });
      checkOpen(this.#client);
      return rowCount === 1;
    } catch (error) {
      throw storageError(error, this.#name);
    }
  }

  /** They are written together with COMMIT, which does not wait for the answer: when they cannot be written it rolls back. */
  append(batch: readonly Outgoing[], stream?: string): void {
    for (let from = 0; from < batch.length; from += insertMax)
      this.#batches.push({ rows: batch.slice(from, from + insertMax), stream });
  }

  write(): Promise<unknown> {
    return Promise.all(this.#batches.map((batch) => this.#insert(batch)));
  }

  async #insert({ rows: batch, stream }: Batch): Promise<void> {
    const { rows } = await this.#client.query({
      // A few messages are what most handlers send.
      ...(batch.length <= namedMax && {
        name: `waybill-append${stream === undefined ? "" : "-stream"}-${batch.length}`,
      }),
      text: insertOf(batch.length, stream !== undefined),
      values: [
        ...batch.flatMap((outgoing) => [this.#owner, ...parametersOf(outgoing)]),
        ...(stream === undefined ? [] : [stream]),
      ],
    });
    for (const [index, { key, behind }] of (rows as InsertedRow[]).entries())
      this.rows.push({
        key: Number(key),
        outgoing: batch[index] as Outgoing,
        ...(stream !== undefined && { stream, isBehind: behind === true }),
      });
  }
}

interface Batch {
  readonly rows: readonly Outgoing[];
  readonly stream: string | undefined;
}

interface InsertedRow {
  readonly key: string;
  readonly behind?: boolean;
}

const outboxColumns = "owner, kind, name, header, body, is_text, not_before, not_after";

/** The rows of a stream tell whether older ones of it are still to be sent: what this statement writes, it does not see. */
function insertOf(count: number, isStream: boolean): string {
  const last = `$${count * columnsMax + 1}`;
  const rows = Array.from(
    { length: count },
    (_, index) => `(${places(index)}${isStream ? `, ${last}` : ""})`,
  );
  const behind = `exists (select 1 from waybill_outbox as older where older.stream = ${last} and older.owner is not null)`;
  return `insert into waybill_outbox (${outboxColumns}${isStream ? ", stream" : ""}) values ${rows.join(", ")}
    returning key${isStream ? `, ${behind} as behind` : ""}`;
}

function places(row: number): string {
  return Array.from({ length: columnsMax }, (_, at) => `$${row * columnsMax + at + 1}`).join(", ");
}
