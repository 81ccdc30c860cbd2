import { setTimeout as sleep } from "node:timers/promises";
import { connect, embedded, service } from "waybill";
import { perform } from "../actors/stage.ts";
import { GetPrice, PlaceOrder } from "../workload.ts";

export interface IdleSettings {
  readonly directory: string;
}

/** Connected, and nothing to do. A round is `count` milliseconds long; it answers the share of a core that it used. */
await perform(async ({ directory }: IdleSettings) => {
  const idle = service("bench-idle")
    .handle(PlaceOrder, () => {})
    .answer(GetPrice, ({ sku }) => ({ sku, price: 1 }));
  const bus = await connect({ transport: embedded({ directory }), services: [idle] });
  return {
    round: async (ms): Promise<number> => {
      const before = process.cpuUsage();
      await sleep(ms);
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1_000 / ms;
    },
    close: () => bus.close(),
  };
});
