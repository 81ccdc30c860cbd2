import { setTimeout as sleep } from "node:timers/promises";
import { connect, embedded, service } from "waybill";
import { perform } from "../actors/stage.ts";
import { PlaceOrder } from "../workload.ts";
import { OrderPlaced } from "./contracts.ts";
import { type Place, openStore } from "./stores.ts";

/** Connected with a store, and nothing to do. A round is `count` milliseconds long; it answers the share of a core that it used. */
await perform(async (place: Place) => {
  const { store } = await openStore(place, "ordering");
  const idle = service("bench-idle", {
    publishes: [OrderPlaced],
    ...(store !== undefined && { store }),
  }).handle(PlaceOrder, () => undefined);
  const { directory } = place;
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
