import type { Body } from "../envelope.ts";
import { WaybillError } from "../errors.ts";
import type { Session, Settled, StateChange } from "../ports/transport.ts";
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
    checkState(this.id, state);
    if (!this.#holds()) return "lockLost";
    this.#sessions.keep(this.#session, state);
    return "settled";
  }
}

/** Throws BODY_TOO_LARGE. */
export function checkState(session: string, state: Body | undefined): void {
  const bytes = state === undefined ? 0 : Buffer.byteLength(state);
  if (bytes <= sessionStateBytesMax) return;
  throw new WaybillError(
    "BODY_TOO_LARGE",
    `The state of the session "${session}" has ${bytes} bytes; a session keeps ${sessionStateBytesMax}. Keep a reference to the data instead.`,
    { details: { bytes, bytesMax: sessionStateBytesMax } },
  );
}

/** Keeps what a completed message leaves behind; answers how to take it back. Throws BODY_TOO_LARGE, NOT_SUPPORTED, STORAGE_FULL. */
export function keepState(
  { session, sessions }: { session: MailSession | undefined; sessions: Sessions | undefined },
  { body }: StateChange,
): () => void {
  if (session === undefined || sessions === undefined) {
    throw new WaybillError(
      "NOT_SUPPORTED",
      "A message without a session leaves no state. Give its contract a key.",
    );
  }
  checkState(session.name, body);
  const before = session.state;
  sessions.keep(session, body);
  return () => sessions.keep(session, before);
}
