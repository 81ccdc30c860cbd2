import type { Body } from "../envelope.ts";
import { WaybillError } from "../errors.ts";

/** Most bytes of a session's state, of the brokers that we make ourselves. */
export const sessionStateBytesMax = 65_536;

/** Bytes of what a session is to keep. Throws BODY_TOO_LARGE. */
export function stateBytes(session: string, state: Body | undefined): number {
  const bytes = state === undefined ? 0 : Buffer.byteLength(state);
  if (bytes <= sessionStateBytesMax) return bytes;
  throw new WaybillError(
    "BODY_TOO_LARGE",
    `The state of the session "${session}" has ${bytes} bytes; a session keeps ${sessionStateBytesMax}. Keep a reference to the data instead.`,
    { details: { bytes, bytesMax: sessionStateBytesMax } },
  );
}

/** For a state that comes with a message which has no session. */
export function noSession(): WaybillError {
  return new WaybillError(
    "NOT_SUPPORTED",
    "A message without a session leaves no state. Give its contract a key.",
  );
}

/** Who asks does not hold the session any more. */
export function sessionLost(session: string): WaybillError {
  return new WaybillError(
    "LOCK_LOST",
    `The session "${session}" is not held by this delivery any more, so its state may be somebody else's. Read it before settling.`,
  );
}
