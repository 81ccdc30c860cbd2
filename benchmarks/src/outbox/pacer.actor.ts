import { setTimeout as sleep } from "node:timers/promises";
import { connect, embedded, service } from "waybill";
import { monotonicMs, perform } from "../actors/stage.ts";
import { order } from "../workload.ts";
import { OrderPlaced } from "./contracts.ts";
import { type Place, openStore } from "./stores.ts";

/** Longer than a message takes, so that each one finds everybody asleep. */
const pauseMs = 2;

/** One transaction after another, as an HTTP route would have it. Answers how long each took up to its COMMIT. */
await perform(async (place: Place) => {
  const { store, write } = await openStore(place, "ordering");
  if (store === undefined) throw new Error("This part needs a store.");
  const uses = { publishes: [OrderPlaced] as const, store };
  const { directory } = place;
  const bus = await connect({
    transport: embedded({ directory }),
    services: [service("bench-route", uses)],
  });
  let base = 0;
  return {
    round: async (count): Promise<readonly number[]> => {
      const commits: number[] = [];
      for (let number = base; number < base + count; number++) {
        const beganAt = monotonicMs();
        await bus.transaction(store, async ({ client, publish }) => {
          const placed = order(number, monotonicMs());
          await write(client, placed.id, number);
          await publish(OrderPlaced, placed);
        });
        commits.push(monotonicMs() - beganAt);
        await sleep(pauseMs);
      }
      base += count;
      return commits;
    },
    close: () => bus.close(),
  };
});
