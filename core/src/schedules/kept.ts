import { messageOf } from "../errors.ts";
import type { ScheduleRow, ScheduleRows } from "../ports/schedule-rows.ts";
import type { StoreTransaction } from "../ports/store.ts";
import type { Outgoing } from "../ports/transport.ts";
import { fire } from "./decision.ts";
import { readPlan } from "./dynamic.ts";
import { copyOf, firingId, withoutDelay } from "./messages.ts";

/** Fired in one transaction. */
const dueMax = 100;

/** Fires what is due of the schedules that keep their message, 100 of them at most. Answers how many were. */
export async function fireKept(transaction: StoreTransaction, now: number): Promise<number> {
  const rows = await transaction.schedules.due(now, dueMax);
  for (const row of rows) {
    const messages = await fireOne(transaction.schedules, row, now);
    if (messages.length > 0) await transaction.append(messages);
  }
  return rows.length;
}

/** One that cannot be read stands still, and says why: those behind it go on. */
async function fireOne(
  rows: ScheduleRows,
  row: ScheduleRow,
  now: number,
): Promise<readonly Outgoing[]> {
  const { outgoing } = row;
  if (outgoing === undefined) return [];
  let plan;
  try {
    plan = readPlan(row.timing);
  } catch (error) {
    await rows.update({ ...row, nextAt: undefined, pausedAt: now, trouble: messageOf(error) });
    return [];
  }
  const { moments, rule } = plan;
  if (moments === undefined) {
    await rows.remove(row);
    return [withoutDelay(outgoing)];
  }
  const { row: moved, fires } = fire(row, { moments, rule, now });
  await rows.update(moved);
  return fires.map(({ due }) => copyOf(outgoing, { id: firingId(row, due), at: now }));
}
