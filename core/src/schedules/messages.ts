import { messageOf } from "../errors.ts";
import type { ScheduleKey } from "../ports/schedule-rows.ts";
import type { Outgoing } from "../ports/transport.ts";
import type { Speech } from "../speaking/speech.ts";
import type { Firing, ScheduleDefinition } from "./definition.ts";

/** What a schedule was to send cannot be sent: its `input` threw, or made what its contract does not take. */
export class FiringFailed extends Error {
  constructor(cause: unknown) {
    super(messageOf(cause), { cause });
  }
}

/** The same in every process and in every try, so that whoever gets it twice knows it again. */
export function firingId({ service, name }: ScheduleKey, due: number): string {
  return `${service}.${name}@${new Date(due).toISOString()}`;
}

/** The message of one firing of a declared schedule. Error: FiringFailed. */
export async function messageOfFiring(
  { contract, input }: ScheduleDefinition,
  firing: Firing,
  {
    speech,
    service,
    id,
  }: { readonly speech: Speech; readonly service: string; readonly id: string },
): Promise<Outgoing> {
  try {
    const origin = { service, parent: undefined, options: { id } };
    return await speech.prepare(contract, input(firing), origin);
  } catch (error) {
    throw new FiringFailed(error);
  }
}

/** The message of a schedule that keeps its message, for one moment. */
export function copyOf(
  { envelope, to }: Outgoing,
  { id, at }: { readonly id: string; readonly at: number },
): Outgoing {
  const header = { ...envelope.header, id, time: new Date(at).toISOString() };
  return { to, envelope: { ...envelope, header } };
}

/** A one-off at its moment: as it was made, and at once. */
export function withoutDelay({ notBefore: _notBefore, ...rest }: Outgoing): Outgoing {
  return rest;
}
