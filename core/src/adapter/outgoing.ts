import { WaybillError } from "../errors.ts";
import type { Destination, Outgoing } from "../ports/transport.ts";

/** Throws MESSAGE_INVALID for a time that is none. */
export function assertTimes({ notBefore, notAfter, envelope }: Outgoing): void {
  for (const moment of [notBefore, notAfter])
    if (moment !== undefined && !Number.isSafeInteger(Math.floor(moment)))
      throw new WaybillError(
        "MESSAGE_INVALID",
        `${envelope.header.type} ${envelope.header.id} is timed for ${moment}, which is no moment. Give milliseconds since 1970.`,
      );
}

export function unroutable(broker: string, { kind, name }: Destination): WaybillError {
  return new WaybillError(
    "UNROUTABLE",
    `${broker} has no ${kind} "${name}". Declare it by connecting a service that handles it, or correct the name.`,
  );
}
