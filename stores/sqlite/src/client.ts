import {
  type DatabaseSync,
  type SQLInputValue,
  type SQLOutputValue,
  type StatementColumnMetadata,
  type StatementResultingChanges,
  type StatementSync,
  constants,
} from "node:sqlite";
import { WaybillError } from "@waybill/core";

/**
 * What a handler sees of its transaction in `context.transaction`. It ends with the handler: what is called afterwards throws CLOSED, because
 * another handler may have the connection by then. Waybill begins, commits and rolls back.
 */
export interface SqliteTransaction {
  /** The statement is kept, so that preparing the same text again costs nothing. */
  prepare(sql: string): SqliteStatement;
  /** Runs one or several statements without parameters. */
  exec(sql: string): void;
}

/** As `StatementSync` of `node:sqlite`, for as long as the transaction is open. */
export interface SqliteStatement {
  run(...parameters: Parameters): StatementResultingChanges;
  get(...parameters: Parameters): Record<string, SQLOutputValue> | undefined;
  all(...parameters: Parameters): Record<string, SQLOutputValue>[];
  /** The rows as lists, in the order of the columns, for those that have the same name. */
  values(...parameters: Parameters): SQLOutputValue[][];
  /** Empty for a statement that gives no rows. */
  columns(): StatementColumnMetadata[];
}

type Parameters = SQLInputValue[] | [Record<string, SQLInputValue>, ...SQLInputValue[]];

const statementsMax = 200;
const denied: ReadonlySet<number> = new Set([22 /* transaction */, 24 /* attach */, 25, 32]);
const deniedPragmas: readonly string[] = [
  "busy_timeout",
  "journal_mode",
  "locking_mode",
  "query_only",
  "synchronous",
];
const pragmaAction = 19;

/** The user's statements of one connection, and what they may not do. */
export class Client {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #isUser = false;

  constructor(db: DatabaseSync) {
    this.#db = db;
    db.setAuthorizer((action, subject, value) =>
      this.#isUser && isDenied(action, subject, value)
        ? constants.SQLITE_DENY
        : constants.SQLITE_OK,
    );
  }

  open(): View {
    return new View(this);
  }

  /** SQLite takes a whole transaction back by itself after some errors. What came behind would stand alone, and be stored at once. */
  check(): void {
    if (this.#db.isTransaction) return;
    throw new WaybillError(
      "STORAGE_FAILED",
      "SQLite has rolled this transaction back, after OR ROLLBACK or an error of the disk. Let the error of that statement end the handler.",
      { retryable: true },
    );
  }

  prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#asUser(() => this.#db.prepare(sql));
    if (this.#statements.size === statementsMax) {
      const [oldest] = this.#statements.keys();
      this.#statements.delete(oldest as string);
    }
    this.#statements.set(sql, statement);
    return statement;
  }

  exec(sql: string): void {
    this.#asUser(() => this.#db.exec(sql));
  }

  #asUser<Result>(act: () => Result): Result {
    this.#isUser = true;
    try {
      return act();
    } finally {
      this.#isUser = false;
    }
  }
}

function isDenied(action: number, subject: string | null, value: string | null): boolean {
  if (action === pragmaAction)
    return value !== null && deniedPragmas.includes(String(subject).toLowerCase());
  return denied.has(action);
}

/** The statement is kept, and the next one who has it wants objects. */
function valuesOf(statement: StatementSync, parameters: SQLInputValue[]): SQLOutputValue[][] {
  statement.setReturnArrays(true);
  try {
    return statement.all(...parameters) as unknown as SQLOutputValue[][];
  } finally {
    statement.setReturnArrays(false);
  }
}

/** The transaction of one handler. */
export class View implements SqliteTransaction {
  readonly #client: Client;
  #isClosed = false;

  constructor(client: Client) {
    this.#client = client;
  }

  prepare(sql: string): SqliteStatement {
    this.#check();
    const statement = this.#client.prepare(sql);
    const open = (): StatementSync => {
      this.#check();
      return statement;
    };
    return {
      run: (...parameters) => open().run(...(parameters as SQLInputValue[])),
      get: (...parameters) => open().get(...(parameters as SQLInputValue[])),
      all: (...parameters) => open().all(...(parameters as SQLInputValue[])),
      values: (...parameters) => valuesOf(open(), parameters as SQLInputValue[]),
      columns: () => open().columns(),
    };
  }

  exec(sql: string): void {
    this.#check();
    this.#client.exec(sql);
  }

  close(): void {
    this.#isClosed = true;
  }

  #check(): void {
    if (!this.#isClosed) return this.#client.check();
    throw new WaybillError(
      "CLOSED",
      "The transaction of this handler has ended. Await everything inside the handler, and use its transaction nowhere else.",
    );
  }
}
