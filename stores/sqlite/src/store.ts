import type { DatabaseSync } from "node:sqlite";
import {
  type EventRows,
  type Events,
  type MachineClock,
  type Outgoing,
  type OutboxRow,
  type SagaRows,
  type Sagas,
  type ScheduleRows,
  type Schedules,
  type Store,
  type StoreHost,
  type StoreTransaction,
  type TransactionOptions,
  type ViewRows,
  type Views,
  WaybillError,
} from "@waybill/core";
import { Client, type SqliteTransaction, type View } from "./client.ts";
import { storageError } from "./errors.ts";
import type { Settings } from "./options.ts";
import { type EventStatements, eventRows, events, prepareEvents } from "./events.ts";
import { SqliteOutbox } from "./outbox.ts";
import { type SagaStatements, prepareSagas, sagaRows, sagas } from "./sagas.ts";
import { type ScheduleStatements, prepareSchedules, scheduleRows, schedules } from "./schedules.ts";
import { type Statements, prepare } from "./statements.ts";
import { type ViewStatements, forgetViews, prepareViews, viewRows, views } from "./views.ts";
import { type Job, Writer } from "./writer.ts";

export interface StoreParts {
  readonly db: DatabaseSync;
  /** Sees what is committed. Undefined for a database in memory, which has one connection. */
  readonly reader: DatabaseSync | undefined;
  readonly settings: Settings;
  readonly host: StoreHost;
  readonly lease: MachineClock;
}

export class SqliteStore implements Store<SqliteTransaction> {
  readonly name: string;
  readonly outbox: SqliteOutbox;
  readonly sagas: Sagas;
  readonly views: Views;
  readonly schedules: Schedules;
  readonly events: Events;
  readonly #parts: StoreParts;
  readonly #sql: Statements;
  readonly #sagaSql: SagaStatements;
  readonly #eventSql: EventStatements;
  readonly #viewSql: ViewStatements;
  readonly #scheduleSql: ScheduleStatements;
  readonly #client: Client;
  readonly #writer: Writer;

  constructor(parts: StoreParts) {
    const { db, reader, settings, host, lease } = parts;
    const { environment } = host;
    const { file, inboxMs } = settings;
    this.name = `sqlite ${file}`;
    this.#parts = parts;
    this.#sql = prepare(db);
    this.#client = new Client(db);
    this.#writer = new Writer({ db, file, environment, busyMsMax: settings.busyMsMax });
    const reading = reader === undefined ? undefined : prepare(reader);
    this.#viewSql = prepareViews(db);
    const write = <Result>(act: () => Result): Promise<Result> => this.#write(act);
    this.outbox = new SqliteOutbox({
      sql: this.#sql,
      environment,
      inboxMs,
      lease,
      write,
      read: async (act) =>
        reading === undefined ? write(() => act(this.#sql)) : this.#guarded(() => act(reading)),
      forget: (before, limit) => forgetViews(this.#viewSql, { before, limit }),
    });
    this.#sagaSql = prepareSagas(db);
    const readingSagas = reader === undefined ? undefined : prepareSagas(reader);
    this.sagas = sagas({
      write: (act) => write(() => act(this.#sagaSql)),
      read: async (act) =>
        readingSagas === undefined
          ? write(() => act(this.#sagaSql))
          : this.#guarded(() => act(readingSagas)),
    });
    const readingViews = reader === undefined ? undefined : prepareViews(reader);
    this.views = views({
      write: (act) => write(() => act(this.#viewSql)),
      read: async (act) =>
        readingViews === undefined
          ? write(() => act(this.#viewSql))
          : this.#guarded(() => act(readingViews)),
    });
    this.#scheduleSql = prepareSchedules(db);
    const readingSchedules = reader === undefined ? undefined : prepareSchedules(reader);
    this.schedules = schedules(async (act) =>
      readingSchedules === undefined
        ? write(() => act(this.#scheduleSql))
        : this.#guarded(() => act(readingSchedules)),
    );
    this.#eventSql = prepareEvents(db);
    const readingEvents = reader === undefined ? undefined : prepareEvents(reader);
    this.events = events(async (act) =>
      readingEvents === undefined
        ? write(() => act(this.#eventSql))
        : this.#guarded(() => act(readingEvents)),
    );
  }

  transaction<Result>(
    work: (transaction: StoreTransaction<SqliteTransaction>) => Result | Promise<Result>,
    { waitMsMax }: TransactionOptions = {},
  ): Promise<Result> {
    const { host } = this.#parts;
    const { environment } = host;
    return new Promise<Result>((resolve, reject) => {
      const open = new OpenTransaction(this.#client.open(), {
        sql: this.#sql,
        sagaSql: this.#sagaSql,
        viewSql: this.#viewSql,
        scheduleSql: this.#scheduleSql,
        eventSql: this.#eventSql,
        now: Math.floor(environment.clock.now()),
        owner: this.outbox,
        file: this.#parts.settings.file,
        check: () => this.#client.check(),
      });
      let result: Result;
      const job: Job = {
        run: async () => {
          waiting?.cancel();
          try {
            result = await work(open);
          } finally {
            open.client.close();
          }
        },
        done: () => {
          if (open.rows.length > 0) host.committed(open.rows);
          resolve(result);
        },
        failed: reject,
      };
      this.#writer.submit(job);
      const waiting =
        waitMsMax === undefined
          ? undefined
          : environment.timers.set(() => {
              if (this.#writer.withdraw(job)) reject(this.#tooLong(waitMsMax));
            }, waitMsMax);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { db, reader } = this.#parts;
    if (!db.isOpen) return;
    try {
      await this.outbox.leave();
    } finally {
      await this.#writer.close();
      reader?.close();
      db.close();
    }
  }

  #write<Result>(act: () => Result): Promise<Result> {
    const { file } = this.#parts.settings;
    return new Promise<Result>((resolve, reject) => {
      let result: Result;
      this.#writer.submit({
        run: () => {
          result = act();
        },
        done: () => resolve(result),
        failed: (error) => reject(storageError(error, file)),
      });
    });
  }

  #guarded<Result>(act: () => Result): Result {
    try {
      return act();
    } catch (error) {
      throw storageError(error, this.#parts.settings.file);
    }
  }

  #tooLong(waitMsMax: number): WaybillError {
    return new WaybillError(
      "STORAGE_BUSY",
      `A transaction of ${this.name} waited ${waitMsMax} ms for its turn. In SQLite they run one after another: await nothing slow inside them, and no other transaction of the same store.`,
      { retryable: true },
    );
  }
}

interface Writing {
  readonly sql: Statements;
  readonly sagaSql: SagaStatements;
  readonly viewSql: ViewStatements;
  readonly scheduleSql: ScheduleStatements;
  readonly eventSql: EventStatements;
  readonly now: number;
  readonly owner: { readonly instance: string };
  readonly file: string;
  /** Throws when there is no transaction any more. */
  readonly check: () => void;
}

class OpenTransaction implements StoreTransaction<SqliteTransaction> {
  readonly client: View;
  readonly rows: OutboxRow[] = [];
  readonly #writing: Writing;

  constructor(client: View, writing: Writing) {
    this.client = client;
    this.#writing = writing;
  }

  get sagas(): SagaRows {
    return sagaRows(this.#writing.sagaSql, (act) => this.#guarded(act));
  }

  get views(): ViewRows {
    const { viewSql, now } = this.#writing;
    return viewRows(viewSql, now, (act) => this.#guarded(act));
  }

  get schedules(): ScheduleRows {
    return scheduleRows(this.#writing.scheduleSql, (act) => this.#guarded(act));
  }

  get events(): EventRows {
    return eventRows(this.#writing.eventSql, (act) => this.#guarded(act));
  }

  claim(address: string, message: string): boolean {
    const { sql, now } = this.#writing;
    return this.#guarded(() => sql.claim.run(address, message, now).changes === 1);
  }

  append(batch: readonly Outgoing[], stream?: string): void {
    const { sql, now, owner } = this.#writing;
    this.#guarded(() => {
      const isBehind = stream !== undefined && sql.isWaiting.get(stream) !== undefined;
      for (const outgoing of batch) {
        const { to, envelope, notBefore, notAfter } = outgoing;
        const { lastInsertRowid } = sql.append.run(
          owner.instance,
          to.kind,
          to.name,
          JSON.stringify(envelope.header),
          envelope.body,
          notBefore === undefined ? null : Math.floor(notBefore),
          notAfter === undefined ? null : Math.floor(notAfter),
          now,
          stream ?? null,
        );
        this.rows.push({
          key: Number(lastInsertRowid),
          outgoing,
          ...(stream !== undefined && { stream, isBehind }),
        });
      }
    });
  }

  #guarded<Result>(act: () => Result): Result {
    const { check, file } = this.#writing;
    check();
    try {
      return act();
    } catch (error) {
      throw storageError(error, file);
    }
  }
}
