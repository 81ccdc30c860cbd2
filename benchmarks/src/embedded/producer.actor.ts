import { connect, embedded } from "waybill";
import { inLanes, monotonicMs, perform } from "../actors/stage.ts";
import { order, PlaceOrder, shop } from "../workload.ts";

export interface ProducerSettings {
  readonly directory: string;
  /** Sends that are not yet acknowledged. */
  readonly inFlight: number;
}

export interface Produced {
  readonly beganAt: number;
  readonly endedAt: number;
}

await perform(async ({ directory, inFlight }: ProducerSettings) => {
  const bus = await connect({ transport: embedded({ directory }), services: [shop] });
  let base = 0;
  return {
    round: async (count): Promise<Produced> => {
      const beganAt = monotonicMs();
      await inLanes(inFlight, count, (number) => bus.send(PlaceOrder, order(base + number)));
      base += count;
      return { beganAt, endedAt: monotonicMs() };
    },
    close: () => bus.close(),
  };
});
