import { setTimeout as sleep } from "node:timers/promises";
import { connect, embedded, service } from "waybill";
import { Checklist } from "../actors/checklist.ts";
import { inLanes, monotonicMs, perform } from "../actors/stage.ts";
import { PlaceOrder, order } from "../workload.ts";
import { OrderPlaced } from "./contracts.ts";
import { type Place, openStore } from "./stores.ts";

export interface MailingSettings extends Place {
  readonly concurrency: number;
  /** Commands that are not yet acknowledged. */
  readonly inFlight: number;
}

export interface Mailed {
  readonly perSecond: number;
  readonly duplicates: number;
}

const settledPollMs = 1;

/** Sends the commands, and is the second service: its inbox notes each event. A round ends when the last one is settled. */
await perform(async ({ concurrency, inFlight, ...place }: MailingSettings) => {
  const { store } = await openStore(place, "mailing");
  const checklist = new Checklist();
  const mailing = service("bench-mailing", {
    sends: [PlaceOrder],
    ...(store !== undefined && { store }),
  }).on(OrderPlaced, ({ number }) => checklist.tick(number), {
    concurrency,
    prefetch: 2 * concurrency,
  });
  const { directory } = place;
  const bus = await connect({ transport: embedded({ directory }), services: [mailing] });
  let sent = 0;
  return {
    round: async (count): Promise<Mailed> => {
      const complete = checklist.expect(count);
      const beganAt = monotonicMs();
      const base = sent;
      sent += count;
      await inLanes(inFlight, count, (number) => bus.send(PlaceOrder, order(base + number)));
      await complete;
      while (((await bus.health()).contracts[OrderPlaced.name]?.handled ?? 0) < sent)
        await sleep(settledPollMs);
      const perSecond = (count / (monotonicMs() - beganAt)) * 1_000;
      return { perSecond, duplicates: checklist.duplicates };
    },
    close: () => bus.close(),
  };
});
