import type { DatabaseSync } from "node:sqlite";
import {
  type Environment,
  type Logger,
  sleep,
  type TransportHost,
  WaybillError,
} from "@waybill/core";
import { AddressBook } from "./addresses.ts";
import { Checkpoints } from "./storage/checkpoints.ts";
import type { Connection } from "./storage/connection.ts";
import type { Database } from "./storage/database.ts";
import { Durability } from "./storage/durability.ts";
import { Forwarder } from "./queues/forward.ts";
import { simpleOperation } from "./queues/lease.ts";
import { Presence, removeInstance } from "./processes/instances.ts";
import type { Settings } from "./options.ts";
import { pragma } from "./storage/pragma.ts";
import { Retention } from "./streams/retention.ts";
import { prepareStatements, type Statements } from "./storage/statements.ts";
import { Sweeper } from "./queues/sweep.ts";
import type { Transaction } from "./storage/transaction.ts";
import { Turns } from "./processes/turns.ts";
import { Wake } from "./processes/wake.ts";
import { Writer } from "./storage/writer.ts";

/** How long closing waits for what was handed to it to be stored. */
const closeMsMax = 5_000;

export interface BrokerOptions {
  readonly settings: Settings;
  readonly host: TransportHost;
  readonly events: BrokerEvents;
}

export interface BrokerEvents {
  revived(): void;
  fault(error: WaybillError): void;
}

/** One open connection to the broker's file, its parts put together. */
export class Broker implements Connection {
  readonly file: string;
  readonly settings: Settings;
  readonly db: DatabaseSync;
  readonly sql: Statements;
  readonly environment: Environment;
  readonly logger: Logger;
  readonly addresses: AddressBook;
  readonly writer: Writer;
  readonly wake: Wake;
  readonly turns: Turns;
  readonly durability: Durability;
  readonly #checkpoints: Checkpoints;
  readonly #sweeper: Sweeper;
  readonly #forwarder: Forwarder;
  readonly #retention: Retention;
  readonly #presence: Presence;
  readonly #events: BrokerEvents;
  readonly #host: TransportHost;

  constructor({ file, db }: Database, { settings, host, events }: BrokerOptions) {
    this.file = file;
    this.db = db;
    this.settings = settings;
    this.environment = host.environment;
    this.logger = host.logger;
    this.#events = events;
    this.#host = host;
    this.sql = prepareStatements(db);
    // From here on nothing waits inside SQLite, which would stop the event loop: the writer tries again by itself.
    db.exec("pragma busy_timeout = 0");
    this.addresses = new AddressBook(this.sql);
    this.wake = new Wake(this);
    this.turns = new Turns(file, host.environment);
    this.durability = new Durability(file, settings);
    this.#checkpoints = new Checkpoints(file, Number(pragma(db, "page_size")), this);
    this.writer = new Writer(this, {
      committed: (transaction) => {
        this.wake.ring(transaction);
        this.#checkpoints.end();
      },
      stored: (transaction) => this.#stored(transaction),
    });
    this.#sweeper = new Sweeper(this);
    this.#forwarder = new Forwarder(this);
    this.#retention = new Retention(this);
    this.#presence = new Presence(this, { name: host.instance, ...events });
  }

  get instance(): number {
    return this.#presence.id;
  }

  async start(): Promise<void> {
    await this.#presence.enter();
    this.#sweeper.start();
    this.#retention.start();
  }

  /** Stores what waits, takes this process off the books and closes the file; gives up on the former after 5 seconds. */
  async close(): Promise<void> {
    this.#sweeper.close();
    this.#forwarder.close();
    this.#retention.close();
    this.#presence.leave();
    this.writer.submit(
      simpleOperation(
        (transaction) => void removeInstance(transaction, this.instance, true),
        this.#events,
      ),
    );
    const patience = new AbortController();
    await Promise.race([
      this.writer.drained(),
      sleep(this.environment.timers, closeMsMax, patience.signal).catch(() => {}),
    ]);
    patience.abort(new Error("closed"));
    this.writer.close(
      new WaybillError(
        "CLOSED",
        "The embedded broker was closed before this was stored. Send it again with a new connection.",
        { retryable: true },
      ),
    );
    this.wake.close();
    this.turns.close();
    this.durability.close();
    this.#checkpoints.close();
    this.db.close();
  }

  #stored(transaction: Transaction): void {
    this.wake.stored(transaction);
    this.#checkpoints.begin();
    this.#forwarder.committed(transaction);
    this.#sweeper.dueAt(transaction.nextDue);
    for (const { envelope, to } of transaction.unrouted) this.#host.unrouted(envelope, to.name);
    for (const { envelope, to } of transaction.duplicates) this.#host.duplicate?.(envelope, to);
    for (const [topic, count] of transaction.evicted) {
      this.logger.warn(
        "Events that nobody subscribes to were dropped to make room for newer ones.",
        { address: this.addresses.get(topic)?.name, count },
      );
    }
  }
}
