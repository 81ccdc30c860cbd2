import { PgBoss } from "pg-boss";
import { Checklist } from "../actors/checklist.ts";
import { inLanes, monotonicMs, perform } from "../actors/stage.ts";
import { type Order, PlaceOrder, order } from "../workload.ts";
import { OrderPlaced } from "./contracts.ts";
import type { Mailed } from "./mailing.actor.ts";

export interface BossSettings {
  readonly role: "ordering" | "mailing";
  readonly url: string;
  /** Jobs of one insert(), and of one transaction of a worker. */
  readonly batch: number;
  /** Calls of insert() at a time, and workers of a queue. */
  readonly lanes: number;
}

/**
 * The same two services as pg-boss does them best: transactional workers that take whole batches and go on as long as there is more, so that the row, the
 * event and the completion are one transaction. A hundred commands share it, where Waybill has one for each.
 */
await perform(async ({ role, url, batch, lanes }: BossSettings) => {
  const boss = new PgBoss({ connectionString: url, max: 2 * lanes + 2, supervise: false });
  boss.on("error", () => undefined);
  await boss.start();
  for (const { name } of [PlaceOrder, OrderPlaced]) await boss.createQueue(name);
  const checklist = new Checklist();
  const options = {
    transactional: true,
    batchSize: batch,
    localConcurrency: lanes,
    burstWhenBatchFull: true,
    pollingIntervalSeconds: 0.5,
  } as const;
  if (role === "ordering")
    await boss.work<Order, void, typeof options>(PlaceOrder.name, options, async (jobs, db) => {
      for (const { data } of jobs) {
        await db.executeSql("insert into orders (id, number) values ($1, $2)", [
          data.id,
          data.number,
        ]);
        await boss.send(OrderPlaced.name, data, { db });
        checklist.tick(data.number);
      }
    });
  else
    await boss.work<Order, void, typeof options>(OrderPlaced.name, options, async (jobs) => {
      for (const { data } of jobs) checklist.tick(data.number);
    });
  let base = 0;
  return {
    round: async (count): Promise<Mailed> => {
      const complete = checklist.expect(count);
      const beganAt = monotonicMs();
      if (role === "mailing")
        await inLanes(lanes, Math.ceil(count / batch), (index) => {
          const size = Math.min(batch, count - index * batch);
          return boss.insert(
            PlaceOrder.name,
            Array.from({ length: size }, (_, at) => ({ data: order(base + index * batch + at) })),
          );
        });
      base += count;
      await complete;
      return {
        perSecond: (count / (monotonicMs() - beganAt)) * 1_000,
        duplicates: checklist.duplicates,
      };
    },
    close: () => boss.stop({ graceful: false }),
  };
});
