/** What must compile and what must not. The compiler is the test, as in `wiring/types.test.ts`. */
import { test } from "node:test";
import { command, event, query } from "@waybill/contracts";
import * as z from "zod";
import type { StoreFactory } from "../ports/store.ts";
import { service } from "../service.ts";

declare const store: StoreFactory;

const Write = command("reports.write", { input: z.object({ day: z.string() }) });
const Other = command("reports.other", { input: z.object({ day: z.string() }) });
const Night = event("reports.night", { payload: z.object({ count: z.number() }) });
const Ask = query("reports.ask", { input: z.object({}), output: z.string() });

function schedules(): void {
  const base = service("reporting", { sends: [Write], publishes: [Night], asks: [Ask], store });
  const input = ({ due }: { due: Date }): { day: string } => ({ day: due.toISOString() });
  base
    .schedule("a", {
      cron: "0 3 * * *",
      contract: Write,
      input: ({ due }) => ({ day: due.toISOString() }),
    })
    .schedule("b", { everyMs: 60_000, contract: Night, input: ({ missed }) => ({ count: missed }) })
    .schedule("c", {
      cron: "0 3 * * *",
      timeZone: "Europe/Berlin",
      contract: Write,
      input,
      missed: "all",
    })
    .handle(Write, ({ day }) => void day.length);
  // @ts-expect-error -- not declared
  base.schedule("d", { cron: "0 3 * * *", contract: Other, input });
  // @ts-expect-error -- a query is answered, and nobody waits
  base.schedule("e", { cron: "0 3 * * *", contract: Ask, input: () => ({}) });
  // @ts-expect-error -- another input
  base.schedule("f", { cron: "0 3 * * *", contract: Write, input: () => ({ day: 7 }) });
  // @ts-expect-error -- both
  base.schedule("g", { cron: "0 3 * * *", everyMs: 1_000, contract: Write, input });
  // @ts-expect-error -- neither
  base.schedule("h", { contract: Write, input });
  // @ts-expect-error -- multiples are the same in every time zone
  base.schedule("i", { everyMs: 1_000, timeZone: "UTC", contract: Write, input });
  // @ts-expect-error -- nothing is awaited in the transaction of a firing
  base.schedule("j", { cron: "0 3 * * *", contract: Write, input: async () => ({ day: "" }) });
}

test("schedules are typed by the contracts that their service declares", () => {
  void schedules;
});
