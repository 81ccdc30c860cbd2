import {
  type Body,
  type Session,
  type Settled,
  type StateChange,
  noSession,
  sessionLost,
  stateBytes,
} from "@waybill/core";
import type { Connection } from "../storage/connection.ts";
import { storageError } from "../errors.ts";
import type { Claimed } from "./delivery.ts";
import { sessionOf } from "./sessions.ts";

/** A session as the holder of one of its messages sees it. Fenced as the message is: by its lease, in the transaction itself. */
export class SessionHandle implements Session {
  readonly id: string;
  readonly #claimed: Claimed;
  readonly #connection: Connection;
  readonly #holds: () => boolean;

  constructor(id: string, claimed: Claimed, owner: { connection: Connection; holds(): boolean }) {
    this.id = id;
    this.#claimed = claimed;
    this.#connection = owner.connection;
    this.#holds = () => owner.holds();
  }

  async read(): Promise<Body | undefined> {
    const { lease, line } = this.#claimed;
    const row = this.#holds() ? this.#row(sessionOf(line) ?? 0, lease) : undefined;
    if (row !== undefined) return row.state ?? undefined;
    throw sessionLost(this.id);
  }

  async write(state: Body | undefined): Promise<Settled> {
    const bytes = stateBytes(this.id, state);
    if (!this.#holds()) return "lockLost";
    const { lease, seq, line } = this.#claimed;
    let settled: Settled = "unknown";
    return new Promise((resolve, reject) => {
      this.#connection.writer.submit({
        weight: 1,
        bytes,
        run: ({ sql }) => {
          settled = "lockLost";
          if (sql.isLocked.get(lease, seq) === undefined) return;
          sql.writeState.run(state ?? null, sessionOf(line) ?? 0);
          settled = "settled";
        },
        done: () => resolve(settled),
        failed: reject,
      });
    });
  }

  #row(session: number, lease: number): { readonly state: Body | null } | undefined {
    try {
      return this.#connection.sql.readSession.get(session, lease) as
        | { readonly state: Body | null }
        | undefined;
    } catch (error) {
      throw storageError(error, this.#connection.file);
    }
  }
}

/** Throws NOT_SUPPORTED for a message without a session, BODY_TOO_LARGE. */
export function refuseState(session: Session | undefined, { body }: StateChange): void {
  if (session !== undefined) return void stateBytes(session.id, body);
  throw noSession();
}
