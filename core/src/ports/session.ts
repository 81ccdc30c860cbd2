import type { Body } from "../envelope.ts";
import type { Settled } from "./transport.ts";

/** One key's messages and what a holder keeps for the next. Good until its delivery is settled: the lock of both is one. */
export interface Session {
  readonly id: string;
  /** The state that was written last; undefined for none. Rejects with LOCK_LOST, or NOT_SUPPORTED where sessions keep no state. */
  read(): Promise<Body | undefined>;
  /** Replaces the state; undefined removes it, else it stays. Rejects as `read`, with BODY_TOO_LARGE or STORAGE_FULL; `lockLost` changes nothing. */
  write(state: Body | undefined): Promise<Settled>;
}

/** What a session keeps from now on; undefined for nothing any more. */
export interface StateChange {
  readonly body: Body | undefined;
}
