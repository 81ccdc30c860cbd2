import { setTimeout as sleep } from "node:timers/promises";
import { connect, embedded, service } from "waybill";
import { perform } from "../actors/stage.ts";
import { order, PlaceOrder, shop } from "../workload.ts";

export interface CrowdSettings {
  readonly directory: string;
  readonly role: "producer" | "consumer";
  /** Sends and handlers at a time. */
  readonly inFlight: number;
}

const emptyPollMs = 20;

/**
 * A round is `count` milliseconds long; it answers how many messages this process sent or handled in that time. A round of no length
 * ends when nothing waits any more, so that no round handles what another one sent, nor takes the processor from the next.
 */
await perform(async ({ directory, role, inFlight }: CrowdSettings) => {
  let done = 0;
  const consumer = service("bench-consumer").handle(PlaceOrder, () => void (done += 1), {
    concurrency: inFlight,
    prefetch: 2 * inFlight,
  });
  const bus = await connect({
    transport: embedded({ directory }),
    services: [role === "producer" ? shop : consumer],
  });
  const isWaiting = async (): Promise<boolean> => {
    const { addresses } = await bus.health();
    return addresses.some(({ ready, inFlight: held = 0 }) => ready + held > 0);
  };
  return {
    round: async (ms): Promise<number> => {
      if (ms === 0) {
        while (await isWaiting()) await sleep(emptyPollMs);
        return 0;
      }
      done = 0;
      if (role === "consumer") {
        await sleep(ms);
        return done;
      }
      const closing = new AbortController();
      const lane = async (): Promise<void> => {
        while (!closing.signal.aborted) {
          await bus.send(PlaceOrder, order(done));
          done += 1;
        }
      };
      const lanes = Array.from({ length: inFlight }, lane);
      await sleep(ms);
      const sent = done;
      closing.abort();
      await Promise.all(lanes);
      return sent;
    },
    close: () => bus.close(),
  };
});
