import assert from "node:assert/strict";
import { service } from "@waybill/core";
import { type BusCase, quick } from "./case.ts";
import { type Order, order } from "./stage.ts";

export const loadCases: readonly BusCase[] = [
  {
    id: "bus.close",
    title: "closing under load loses nothing and repeats nothing",
    run: async (application) => {
      const { PlaceOrder, OrderPlaced } = application.contracts;
      const count = 2_000;
      const handled = new Map<string, number>();
      const heard = new Map<string, number>();
      const ordering = service("ordering", { publishes: [OrderPlaced] }).handle(
        PlaceOrder,
        async (placed, context) => {
          await application.stage.pass(1);
          note(handled, placed);
          await context.publish(OrderPlaced, placed);
        },
        { retry: { ...quick, attempts: 20 } },
      );
      const shipping = service("shipping").on(OrderPlaced, (placed) => note(heard, placed));
      const listening = await application.connect([shipping]);
      const sender = await application.connect([service("sender", { sends: [PlaceOrder] })]);
      const sending = Promise.all(
        Array.from({ length: count }, (_, index) => sender.send(PlaceOrder, order(`${index}`))),
      );
      for (let rounds = 0; rounds < 4; rounds++) {
        const bus = await application.connect([ordering]);
        const before = handled.size;
        await application.until("it works", () => handled.size >= Math.min(count, before + 100));
        await bus.close({ deadlineMs: 30_000 });
      }
      await sending;
      const last = await application.connect([ordering]);
      await application.until("all", () => heard.size === count);
      assert.equal(handled.size, count);
      assert.deepEqual([repeated(handled), repeated(heard)], [[], []]);
      assert.deepEqual(await last.deadLetters.list(), []);
      assert.deepEqual(await listening.deadLetters.list(), []);
    },
  },
];

/** Counts one more run for that order. */
export function note(runs: Map<string, number>, { id }: Pick<Order, "id">): void {
  runs.set(id, (runs.get(id) ?? 0) + 1);
}

/** Ids that were handled more than once. */
export function repeated(runs: ReadonlyMap<string, number>): readonly string[] {
  return [...runs].flatMap(([id, times]) => (times > 1 ? [id] : []));
}
