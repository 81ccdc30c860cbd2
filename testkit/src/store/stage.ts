import assert from "node:assert/strict";
import {
  type Logger,
  type Outgoing,
  type OutboxRow,
  type Store,
  type StoreFactory,
  systemEnvironment,
} from "@waybill/core";
import { reallyWait } from "../environment.ts";

/** A database for one case, and how its user writes into it. */
export interface StoreSubject<Client = unknown> {
  /** Each call makes what another process of the service would make for the same database. */
  factory(): StoreFactory<Client>;
  /** A row of the user's own, written in the transaction. */
  write(client: Client, text: string): void | Promise<void>;
  /** What is committed of them, sorted. */
  written(): Promise<readonly string[]>;
  /** Ends the leases of all processes, as if they had died some time ago. */
  expire(): void | Promise<void>;
  /** Transactions of one process run at the same time. */
  readonly concurrent: boolean;
  close(): void | Promise<void>;
}

/** One thing that every store must do. */
export interface StoreCase {
  readonly id: string;
  readonly title: string;
  readonly notFor?: (subject: StoreSubject) => string | undefined;
  readonly run: (stage: StoreStage) => Promise<void>;
}

export interface OpenedStore {
  readonly store: Store;
  /** What it said to be committed, in order. */
  readonly told: OutboxRow[];
}

export interface StageOptions {
  /** A mistake to be noticed: what each store is replaced by. */
  readonly plant?: (store: Store) => Store;
  /** How long a case waits for anything, in milliseconds. Default 60,000. */
  readonly waitMsMax?: number;
}

/** What a case works with. Whatever it opened is closed at its end. */
export class StoreStage {
  readonly subject: StoreSubject;
  readonly plant: (store: Store) => Store;
  readonly log: string[] = [];
  readonly #waitMsMax: number;
  readonly #closings: (() => PromiseLike<void>)[] = [];

  constructor(
    subject: StoreSubject,
    { plant = (store) => store, waitMsMax = 60_000 }: StageOptions = {},
  ) {
    this.subject = subject;
    this.plant = plant;
    this.#waitMsMax = waitMsMax;
  }

  get logger(): Logger {
    const add = (message: string): void => void this.log.push(message);
    return { debug: add, info: add, warn: add, error: add };
  }

  /** As another process would. */
  async open(): Promise<OpenedStore> {
    const told: OutboxRow[] = [];
    const opened = await this.subject.factory().open({
      environment: systemEnvironment,
      logger: this.logger,
      committed: (rows) => void told.push(...rows),
    });
    const store = this.plant(opened);
    this.closing(() => store[Symbol.asyncDispose]());
    return { store, told };
  }

  write(client: unknown, text: string): void | Promise<void> {
    return this.subject.write(client, text);
  }

  async until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
    const startedAt = systemEnvironment.clock.monotonic();
    while (!(await isSo())) {
      assert.ok(
        systemEnvironment.clock.monotonic() - startedAt < this.#waitMsMax,
        `${what} did not happen`,
      );
      await reallyWait(2);
    }
  }

  /** What ends with the case, the last first. */
  closing(close: () => PromiseLike<void>): void {
    this.#closings.unshift(close);
  }

  async close(): Promise<void> {
    for (const close of this.#closings) await close();
    await this.subject.close();
  }
}

let made = 0;

/** A message to be sent, told from others by its text. */
export function outgoing(text: string, more: Partial<Outgoing> = {}): Outgoing {
  made += 1;
  return {
    to: { kind: "queue", name: "orders" },
    envelope: {
      header: {
        specversion: "1.0",
        id: `message-${made}`,
        source: "/services/test",
        type: "test.message",
        time: "2030-01-01T00:00:00.000Z",
        datacontenttype: "application/json",
        conversationid: `message-${made}`,
      },
      body: text,
    },
    ...more,
  };
}

export function texts(rows: readonly OutboxRow[]): string[] {
  return rows.map((row) => String(row.outgoing.envelope.body));
}
