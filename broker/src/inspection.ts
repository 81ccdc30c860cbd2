import {
  type AddressState,
  type Inspection,
  type ListQuery,
  type StoredMessage,
  type Whereabouts,
  WaybillError,
} from "@waybill/core";
import type { Connection } from "./connection.ts";
import { listMessages } from "./listing.ts";
import { type Answer, DiscardOperation, ReplayOperation } from "./replay.ts";
import { stateOf } from "./states.ts";

const limitMax = 1_000;
/** Handles that one transaction works on. */
const handlesMax = 500;

/** Looks into the broker by reading only; moving what was set aside goes through the writer like everything else. */
export class EmbeddedInspection implements Inspection {
  readonly #connection: Connection;
  readonly #assertOpen: () => void;

  constructor(connection: Connection, assertOpen: () => void) {
    this.#connection = connection;
    this.#assertOpen = assertOpen;
  }

  async addresses(): Promise<readonly AddressState[]> {
    this.#assertOpen();
    this.#refresh();
    return [...this.#connection.addresses.all()].map((address) =>
      stateOf(this.#connection, address),
    );
  }

  async list(query: ListQuery): Promise<readonly StoredMessage[]> {
    this.#assertOpen();
    const { limit } = query;
    if (!Number.isSafeInteger(limit) || limit < 1 || limit > limitMax) {
      throw new WaybillError(
        "OPTION_INVALID",
        `list({ limit }) takes a whole number from 1 to ${limitMax}, not ${limit}.`,
      );
    }
    this.#refresh();
    return listMessages(this.#connection, query);
  }

  async replay(handles: readonly string[]): Promise<number> {
    return this.#inSteps(handles, (step, answer) => new ReplayOperation(step, answer));
  }

  async follow(handles: readonly string[]): Promise<readonly Whereabouts[]> {
    this.#assertOpen();
    const { sql } = this.#connection;
    return handles.map((handle) => {
      const seq = /^\d{1,15}$/.test(handle) ? Number(handle) : 0;
      if (sql.hasMessage.get(seq) === undefined) return "gone";
      if (sql.deadOf.get(seq) !== undefined) return "dead";
      return sql.deferredOf.get(seq) === undefined ? "waiting" : "deferred";
    });
  }

  async discard(handles: readonly string[]): Promise<number> {
    return this.#inSteps(handles, (step, answer) => new DiscardOperation(step, answer));
  }

  async #inSteps(
    handles: readonly string[],
    create: (handles: readonly string[], answer: Answer) => ReplayOperation | DiscardOperation,
  ): Promise<number> {
    let count = 0;
    for (let from = 0; from < handles.length; from += handlesMax) {
      this.#assertOpen();
      const step = handles.slice(from, from + handlesMax);
      count += await new Promise<number>((resolve, reject) =>
        this.#connection.writer.submit(create(step, { resolve, reject })),
      );
    }
    return count;
  }

  #refresh(): void {
    const [, topology] = this.#connection.sql.readState.get() as unknown as [number, number];
    this.#connection.addresses.refresh(topology);
  }
}
