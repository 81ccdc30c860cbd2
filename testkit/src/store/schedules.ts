import assert from "node:assert/strict";
import { type Command, type Schema, command } from "@waybill/contracts";
import {
  type Bus,
  type TransportFactory,
  WaybillError,
  connect,
  memory,
  service,
} from "@waybill/core";
import { type Trouble, troubled } from "./application.ts";
import type { StoreCase, StoreStage } from "./stage.ts";

interface Tick {
  readonly due: number;
}

const tick: Schema<Tick> = {
  "~standard": { version: 1, vendor: "waybill", validate: (value) => ({ value: value as Tick }) },
};
const TickOver: Command<"store-suite.tick", Tick> = command("store-suite.tick", { input: tick });
const everyMs = 1_000;

interface Ticking {
  readonly bus: Bus;
  /** The due time of each that arrived, with its id. */
  readonly arrived: { readonly id: string; readonly due: number }[];
}

/** A process whose service sends a tick each second, and one that takes them. */
async function ticking(
  stage: StoreStage,
  transport: TransportFactory,
  trouble: Trouble = {},
): Promise<Ticking> {
  const arrived: Ticking["arrived"] = [];
  const clock = service("clock", { sends: [TickOver], store: troubled(stage, trouble) }).schedule(
    "ticks",
    {
      everyMs,
      contract: TickOver,
      // On a slow machine it comes late, and leaves nothing out.
      missed: "all",
      missedMax: 1_000,
      input: ({ due }) => ({ due: due.getTime() }),
    },
  );
  const watching = service("watching").handle(TickOver, ({ due }, { header }) => {
    arrived.push({ id: header.id, due });
  });
  const bus = await connect({
    transport,
    services: [clock, watching],
    logger: stage.logger,
  });
  stage.closing(() => bus.close({ deadlineMs: 2_000 }));
  return { bus, arrived };
}

export const scheduleCases: readonly StoreCase[] = [
  {
    id: "schedule.once",
    title: "each due time fires once over two processes, and goes on when one of them ends",
    run: async (stage) => {
      const transport = memory();
      const one = await ticking(stage, transport);
      const two = await ticking(stage, transport);
      const all = (): Ticking["arrived"] => [...one.arrived, ...two.arrived];
      await stage.until("four ticks", () => all().length >= 4);
      await two.bus.close();
      const count = all().length;
      await stage.until("two more", () => all().length >= count + 2);
      assertEachOnce(all());
    },
  },
  {
    id: "schedule.crash",
    title:
      "a firing that ends before its commit has neither sent nor moved on, one that ends after it has done both",
    run: async (stage) => {
      const planned = { before: 2, after: 2 };
      const { arrived } = await ticking(stage, memory(), {
        atCommit: () => {
          planned.before -= 1;
          if (planned.before >= 0) throw new Error("planned: the process ends here");
        },
        afterCommit: () => {
          planned.after -= 1;
          if (planned.after >= 0)
            throw new WaybillError("COMMIT_UNKNOWN", "planned: the answer is lost", {
              retryable: true,
            });
        },
      });
      await stage.until("five ticks", () => planned.after < 0 && arrived.length >= 5);
      assertEachOnce(arrived);
    },
  },
];

/** None is missing between the first and the last, and none came twice. */
function assertEachOnce(arrived: Ticking["arrived"]): void {
  const dues = arrived.map(({ due }) => due).toSorted((one, other) => one - other);
  const [first = 0] = dues;
  assert.deepEqual(
    dues,
    dues.map((_, index) => first + index * everyMs),
  );
  assert.deepEqual(
    new Set(arrived.map(({ id }) => id)),
    new Set(dues.map((due) => `clock.ticks@${new Date(due).toISOString()}`)),
  );
}
