import type { Body, ForwardTarget, Timer, WaybillError } from "@waybill/core";
import type { Address } from "../addresses.ts";
import { evictUnrouted, goOn } from "./arrivals.ts";
import { decode } from "../storage/codec.ts";
import type { Connection } from "../storage/connection.ts";
import { bury, expire, leave } from "../operating/dead-letters.ts";
import { lineOf, release } from "./sessions.ts";
import type { Transaction } from "../storage/transaction.ts";
import type { Operation } from "../storage/writer.ts";

/** Messages and bytes of bodies that one step moves; one message is always let through. */
const stepMax = 500;
const stepBytesMax = 8 * 1024 * 1024;
/** How often a process looks for what others left. */
const lookMs = 1_000;

/**
 * Moves on what came to wait at an address that forwards: it was there when that was declared, fell due, came back, or stood behind such.
 * Any process does it for all. Where nothing forwards it costs neither a statement nor a timer.
 */
export class Forwarder {
  readonly #connection: Connection;
  #timer: Timer | undefined;
  #moving = false;
  #closed = false;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** After a COMMIT of this process. */
  committed({ madeReady }: Transaction): void {
    const { forwarding } = this.#connection.addresses;
    if (forwarding.some(({ id }) => madeReady.has(id))) this.#arm(0);
    else if (this.#timer === undefined) this.#lookLater();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #arm(delayMs: number): void {
    if (this.#closed || this.#moving) return;
    this.#timer?.cancel();
    this.#timer = this.#connection.environment.timers.set(() => this.#look(), delayMs);
  }

  #lookLater(): void {
    const { addresses, environment } = this.#connection;
    if (addresses.forwarding.length > 0) this.#arm(lookMs * (0.75 + environment.random() / 2));
  }

  #look(): void {
    this.#timer = undefined;
    if (this.#closed) return;
    if (!this.#hasWork()) return this.#lookLater();
    this.#moving = true;
    this.#connection.writer.submit(new ForwardOperation((error) => this.#moved(error)));
  }

  #moved(error: WaybillError | undefined): void {
    this.#moving = false;
    if (error === undefined) return this.#hasWork() ? this.#arm(0) : this.#lookLater();
    this.#connection.logger.warn(
      "What waits where it should be forwarded could not be moved; it is tried again.",
      { code: error.code, error: error.message },
    );
    this.#lookLater();
  }

  #hasWork(): boolean {
    const { addresses, sql } = this.#connection;
    try {
      return addresses.forwarding.some(
        ({ id }) => (sql.anyReady.get(id) ?? sql.anyAvailableSession.get(id)) !== undefined,
      );
    } catch {
      // Busy at this moment: the next look will do.
      return false;
    }
  }
}

class ForwardOperation implements Operation {
  readonly weight = stepMax;
  readonly bytes = 0;
  readonly #answer: (error: WaybillError | undefined) => void;

  constructor(answer: (error: WaybillError | undefined) => void) {
    this.#answer = answer;
  }

  run(transaction: Transaction): void {
    const room = { messages: stepMax, bytes: stepBytesMax };
    for (const at of transaction.addresses.forwarding) {
      if (at.forwardsTo !== undefined) drain(transaction, { at, to: at.forwardsTo }, room);
    }
    evictUnrouted(transaction);
  }

  done(): void {
    this.#answer(undefined);
  }

  failed(error: WaybillError): void {
    this.#answer(error);
  }
}

interface Way {
  readonly at: Address;
  readonly to: ForwardTarget;
}

interface Room {
  messages: number;
  bytes: number;
}

function drain(transaction: Transaction, way: Way, room: Room): void {
  const { sql } = transaction;
  const { id } = way.at;
  drainLine(transaction, way, { line: id, room });
  // One that is held, parked or resting is not among them: its messages keep their order.
  const sessions = sql.availableSessions.all(id, room.messages) as unknown as { id: number }[];
  for (const session of sessions) {
    drainLine(transaction, way, { line: lineOf(session.id), room });
    release(transaction, session.id);
  }
}

type HeadRow = readonly [seq: number, bytes: number, expires: number | null, attempt: number];

function drainLine(
  transaction: Transaction,
  way: Way,
  { line, room }: { readonly line: number; readonly room: Room },
): void {
  const { sql, now } = transaction;
  const { at } = way;
  const head = sql.headReady.all(line, room.messages) as unknown as HeadRow[];
  for (const [seq, bytes, expires, attempt] of head) {
    if (room.bytes <= 0) return;
    room.messages -= 1;
    room.bytes -= bytes;
    sql.deleteReady.run(line, seq);
    if (expires !== null && expires <= now) expire(transaction, { seq, address: at.id, attempt });
    else move(transaction, way, { seq, bytes, expires, attempt });
  }
}

interface ContentRow {
  readonly enqueued_at: number;
  readonly discard_expired: number;
  readonly header: string;
  readonly body: Body;
}

function move(
  transaction: Transaction,
  { at, to }: Way,
  row: { seq: number; bytes: number; expires: number | null; attempt: number },
): void {
  const { sql } = transaction;
  const { seq, bytes, expires, attempt } = row;
  const content = sql.contentOf.get(seq) as unknown as ContentRow;
  const { header, body, enqueued_at: enqueuedAt, discard_expired: discards } = content;
  const outgoing = {
    to,
    envelope: decode(header, body),
    ...(expires !== null && { notAfter: expires }),
    ...(discards === 1 && { discardExpired: true }),
  };
  const message = { outgoing, header, body, bytes, enqueuedAt };
  const failure = goOn(transaction, { at, to }, message);
  if (failure !== undefined) return bury(transaction, { seq, address: at.id, attempt }, failure);
  leave(transaction, seq, "forwarded");
  sql.deleteMessage.run(seq);
  sql.deleteFailure.run(seq);
}
