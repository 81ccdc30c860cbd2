import type { ScheduleRow } from "../ports/schedule-rows.ts";
import type { Store } from "../ports/store.ts";
import type { SchedulerParts } from "./scheduler.ts";

/** Rows read at a time. */
const pageMax = 500;

/** What no process declares any more fires no more, and shows until somebody removes it. */
export async function retireLeft({
  open: { store },
  declared,
  services,
  runtime,
}: Omit<SchedulerParts, "speech">): Promise<void> {
  const { clock } = runtime.environment;
  for (const service of services) {
    const known = new Set(
      declared.flatMap((each) => (each.service === service ? each.definition.name : [])),
    );
    const isLeft = ({ name, retiredAt, keptUntil = 0 }: ScheduleRow): boolean =>
      retiredAt === undefined && keptUntil < clock.now() && !known.has(name);
    for (const { name } of (await declaredIn(store, service)).filter(isLeft)) {
      const isRetired = await store.transaction(async ({ schedules }) => {
        const row = await schedules.load({ service, name });
        if (row === undefined || !isLeft(row)) return false;
        await schedules.update({ ...row, retiredAt: clock.now(), nextAt: undefined });
        return true;
      });
      if (isRetired)
        runtime.logger.warn(
          `The schedule "${name}" of service "${service}" is declared by no process any more. It is retired and fires no more; bus.schedules.cancel() removes it.`,
        );
    }
  }
}

async function declaredIn(store: Store, service: string): Promise<readonly ScheduleRow[]> {
  const all: ScheduleRow[] = [];
  for (;;) {
    const after = all.at(-1);
    const page = { service, declared: true, limit: pageMax, ...(after !== undefined && { after }) };
    const rows = await store.schedules.list(page);
    all.push(...rows);
    if (rows.length < pageMax) return all;
  }
}
