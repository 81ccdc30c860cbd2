import assert from "node:assert/strict";
import { service } from "@waybill/core";
import type { BusCase } from "./case.ts";
import { order } from "./stage.ts";

/** For a broker that has just begun. */
const patienceMs = 60_000;

export const callCases: readonly BusCase[] = [
  {
    id: "bus.query",
    title: "twenty queries at once go over it, each with its own answer",
    run: async (application) => {
      const { GetOrder } = application.contracts;
      const owner = service("owner").answer(GetOrder, ({ id }) => order(id, 7));
      await application.connect([owner]);
      const caller = await application.connect([service("caller", { asks: [GetOrder] })]);
      const ids = Array.from({ length: 20 }, (_, index) => String(index));
      const answers = await Promise.all(
        ids.map((id) => caller.ask(GetOrder, order(id), { timeoutMs: patienceMs })),
      );
      assert.deepEqual(
        answers.map(({ id, total }) => [id, total]),
        ids.map((id) => [id, 7]),
      );
    },
  },
  {
    id: "bus.feed",
    title: "the items of a feed come over it, all and in order",
    run: async (application) => {
      const { Watch } = application.contracts;
      const owner = service("owner").serve(Watch, async function* ({ id }) {
        for (let item = 1; item <= 50; item++) {
          yield order(`${id}.${item}`);
          await application.stage.pass(0);
        }
      });
      await application.connect([owner]);
      const caller = await application.connect([service("caller", { opens: [Watch] })]);
      // What nobody serves within a feed's silence fails and is to be opened again: a broker that has just begun may take longer to let its owner in.
      const isServed = async (): Promise<boolean> => {
        for await (const _ of caller.open(Watch, order("early"))) return true;
        return false;
      };
      await application.until("it is served", () => isServed().catch(() => false));
      const items: string[] = [];
      for await (const { id } of caller.open(Watch, order("a"))) items.push(id);
      assert.deepEqual(
        items,
        Array.from({ length: 50 }, (_, index) => `a.${index + 1}`),
      );
    },
  },
];
