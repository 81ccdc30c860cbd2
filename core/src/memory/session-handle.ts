import type { Body } from "../envelope.ts";
import type { Session, Settled, StateChange } from "../ports/transport.ts";
import { noSession, sessionLost, stateBytes } from "../handling/session-state.ts";
import type { MailSession, Sessions } from "./sessions.ts";

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
    if (!this.#holds()) throw sessionLost(this.id);
    const { state } = this.#session;
    return typeof state === "object" ? new Uint8Array(state) : state;
  }

  async write(state: Body | undefined): Promise<Settled> {
    stateBytes(this.id, state);
    if (!this.#holds()) return "lockLost";
    this.#sessions.keep(this.#session, state);
    return "settled";
  }
}

/** Keeps what a completed message leaves behind; answers how to take it back. Throws BODY_TOO_LARGE, NOT_SUPPORTED, STORAGE_FULL. */
export function keepState(
  { session, sessions }: { session: MailSession | undefined; sessions: Sessions | undefined },
  { body }: StateChange,
): () => void {
  if (session === undefined || sessions === undefined) throw noSession();
  stateBytes(session.name, body);
  const before = session.state;
  sessions.keep(session, body);
  return () => sessions.keep(session, before);
}
