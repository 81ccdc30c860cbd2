import { Checklist } from "../actors/checklist.ts";
import { monotonicMs, perform } from "../actors/stage.ts";
import { Order, order } from "../workload.ts";
import type { Ran } from "./pipeline.actor.ts";

/** What no framework can do without: check, write and read the JSON, check again, call the function. */
await perform(async () => {
  const checklist = new Checklist();
  let base = 0;
  return {
    round: async (count): Promise<Ran> => {
      const complete = checklist.expect(count);
      const beganAt = monotonicMs();
      for (let number = base; number < base + count; number++) {
        const body = JSON.stringify(Order.parse(order(number)));
        checklist.tick(Order.parse(JSON.parse(body)).number);
      }
      await complete;
      base += count;
      return { ms: monotonicMs() - beganAt };
    },
    close: async () => {},
  };
});
