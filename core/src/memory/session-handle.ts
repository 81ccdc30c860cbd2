import type { Body } from "../envelope.ts";
import { WaybillError } from "../errors.ts";
import type { Session, Settled } from "../ports/transport.ts";
import type { MailSession, Sessions } from "./sessions.ts";

export const sessionStateBytesMax = 65_536;

/** A session as the holder of one of its messages sees it. */
export class SessionHandle implements Session {
  readonly id: string;
  readonly #session: MailSession;
  readonly #sessions: Sessions;
  readonly #holds: () => boolean;

  constructor(session: MailSession, sessions: Sessions, holds: () => boolean) {
    this.id = session.name;
    this.#session = session;
    this.#sessions = sessions;
    this.#holds = holds;
  }

  async read(): Promise<Body | undefined> {
    if (!this.#holds()) {
      throw new WaybillError(
        "LOCK_LOST",
        `The session "${this.id}" is not held by this delivery any more, so its state may be somebody else's. Read it before settling.`,
      );
    }
    const { state } = this.#session;
    return typeof state === "object" ? new Uint8Array(state) : state;
  }

  async write(state: Body | undefined): Promise<Settled> {
    const bytes = state === undefined ? 0 : Buffer.byteLength(state);
    if (bytes > sessionStateBytesMax) {
      throw new WaybillError(
        "BODY_TOO_LARGE",
        `The state of the session "${this.id}" has ${bytes} bytes; a session keeps ${sessionStateBytesMax}. Keep a reference to the data instead.`,
        { details: { bytes, bytesMax: sessionStateBytesMax } },
      );
    }
    if (!this.#holds()) return "lockLost";
    this.#sessions.keep(this.#session, state);
    return "settled";
  }
}
