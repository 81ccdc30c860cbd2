import { type Environment, WaybillError } from "@waybill/core";
import type { ObjectStore } from "./object-store.ts";

const timeDigits = 9;

/** A name that tells when it was made, so that its age needs no clock but the environment's. */
export function objectName(environment: Environment): string {
  const time = Math.max(0, Math.floor(environment.clock.now()))
    .toString(36)
    .padStart(timeDigits, "0");
  return `${time}-${environment.id().toLowerCase()}`;
}

/** Milliseconds since 1970; undefined for what no claim check named. */
function madeAt(name: string): number | undefined {
  const [time = ""] = name.split("-", 1);
  const at = time.length === timeDigits ? Number.parseInt(time, 36) : Number.NaN;
  return Number.isNaN(at) ? undefined : at;
}

/**
 * Deletes objects older than `olderThanMs`, and answers how many. Choose it above the longest time that a message may wait, stand among the
 * dead letters or be read from a stream again: a message whose object is gone cannot be handled. Error: NOT_SUPPORTED when the store has
 * no `list`.
 */
export async function sweepObjects(
  store: ObjectStore,
  { olderThanMs, environment }: { readonly olderThanMs: number; readonly environment: Environment },
): Promise<number> {
  if (store.list === undefined)
    throw new WaybillError(
      "NOT_SUPPORTED",
      "This object store cannot list its objects. Let the store itself delete them by age.",
    );
  const before = environment.clock.now() - olderThanMs;
  let deleted = 0;
  for await (const name of store.list()) {
    const at = madeAt(name);
    if (at === undefined || at >= before) continue;
    await store.delete(name);
    deleted += 1;
  }
  return deleted;
}
