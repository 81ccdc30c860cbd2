import assert from "node:assert/strict";
import { service } from "@waybill/core";
import { type BusCase, quick } from "./case.ts";
import { order } from "./stage.ts";

export const messageCases: readonly BusCase[] = [
  {
    id: "bus.event",
    title:
      "a command is handled, its event reaches who subscribes, and a rule leaves out the rest, which is counted and nowhere else",
    run: async (application) => {
      const { PlaceOrder, OrderPlaced } = application.contracts;
      const all: string[] = [];
      const large: string[] = [];
      const ordering = service("ordering", { publishes: [OrderPlaced] }).handle(
        PlaceOrder,
        async (placed, context) => {
          await context.publish(OrderPlaced, placed);
        },
      );
      const shipping = service("shipping").on(OrderPlaced, ({ id }) => void all.push(id));
      const watching = service("watching").on(OrderPlaced, ({ id }) => void large.push(id), {
        where: { region: "EU", total: { gt: 100 } },
      });
      const others = await application.connect([shipping, watching]);
      const orders = await application.connect([ordering]);
      for (const [id, total] of [
        ["1", 5],
        ["2", 500],
        ["3", 50],
      ] as const)
        await orders.send(PlaceOrder, order(id, total));
      const filtersItself = await canFilter(application.stage);
      await application.until("all arrived", async () => {
        const counted = (await others.health()).contracts[OrderPlaced.name];
        return counted?.handled === 4 && (filtersItself || counted.filtered === 2);
      });
      assert.deepEqual([all.toSorted(), large], [["1", "2", "3"], ["2"]]);
      assert.deepEqual(await others.deadLetters.list(), []);
    },
  },
  {
    id: "bus.retry",
    title:
      "what fails is retried after its delay, then a dead letter that can be read and replayed",
    run: async (application) => {
      const { PlaceOrder } = application.contracts;
      const attempts: number[] = [];
      let broken = true;
      const ordering = service("ordering").handle(
        PlaceOrder,
        (_, { attempt }) => {
          attempts.push(attempt);
          if (broken) throw new Error("the printer is on fire");
        },
        { retry: { ...quick, attempts: 3 } },
      );
      const bus = await application.connect([ordering]);
      await bus.send(PlaceOrder, order("1"));
      await application.until("a dead letter", async () => {
        return (await bus.deadLetters.list()).length === 1;
      });
      const [letter] = await bus.deadLetters.list();
      assert.deepEqual(attempts, [1, 2, 3]);
      assert.deepEqual(
        [letter?.failure?.message, letter?.failure?.attempts, letter?.failure?.service],
        ["the printer is on fire", 3, "ordering"],
      );
      broken = false;
      assert.equal(await bus.deadLetters.replay([letter?.handle ?? ""]), 1);
      await application.until("handled", async () => {
        const { contracts: counted } = await bus.health();
        return counted[PlaceOrder.name]?.handled === 1;
      });
      assert.deepEqual(attempts, [1, 2, 3, 1]);
      assert.deepEqual(await bus.deadLetters.list(), []);
    },
  },
];

/** A broker that evaluates rules itself delivers nothing that could be counted as left out. */
async function canFilter(stage: {
  open(): Promise<{ readonly capabilities: { readonly filters: readonly string[] } }>;
}): Promise<boolean> {
  return (await stage.open()).capabilities.filters.includes("compare");
}
