import type { ScheduleKey } from "../ports/schedule-rows.ts";
import type { StoreTransaction } from "../ports/store.ts";
import type { Outgoing } from "../ports/transport.ts";
import { copyOf, firingId, messageOfFiring } from "./messages.ts";
import { missing } from "./missing.ts";
import type { SchedulerParts } from "./scheduler.ts";

/** Fires a schedule once, beside its moments. Answers the id of the message. Errors: NOT_FOUND, FiringFailed. */
export async function triggerIn(
  transaction: StoreTransaction,
  key: ScheduleKey,
  { speech, runtime, declared }: Pick<SchedulerParts, "speech" | "runtime" | "declared">,
): Promise<string> {
  const { schedules } = transaction;
  const { service, name } = key;
  const { clock } = runtime.environment;
  const at = clock.now();
  const id = `${firingId(key, at)}+${runtime.environment.id()}`;
  const row = await schedules.load(key);
  const own = declared.find((each) => each.service === service && each.definition.name === name);
  if (row === undefined || (row.outgoing === undefined && own === undefined)) throw missing(key);
  const firing = { due: new Date(at), missed: 0, isTriggered: true };
  const message =
    own === undefined || row.outgoing !== undefined
      ? copyOf(row.outgoing as Outgoing, { id, at })
      : await messageOfFiring(own.definition, firing, { speech, service, id });
  await transaction.append([message]);
  await schedules.update({ ...row, fired: row.fired + 1 });
  return id;
}
