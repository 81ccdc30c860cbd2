import assert from "node:assert/strict";
import { service } from "@waybill/core";
import { needsStreams } from "../suite/case.ts";
import type { BusCase } from "./case.ts";
import { order } from "./stage.ts";

const letters = ["a", "b", "c", "d", "e"];

export const streamCases: readonly BusCase[] = [
  {
    id: "bus.stream",
    title:
      "what is appended reaches each group from the beginning, a key in its order, also who comes later",
    notFor: needsStreams,
    run: async (application) => {
      const { Readings } = application.contracts;
      const ids = Array.from({ length: 200 }, (_, index) => {
        return `${letters[index % letters.length]}.${index}`;
      });
      const appending = service("appending", { appends: [Readings] });
      const sender = await application.connect([appending]);
      const seen = { early: [] as string[], late: [] as string[] };
      const group = (name: keyof typeof seen) =>
        service(name).consume(Readings, ({ id }) => void seen[name].push(id));
      await application.connect([group("early")]);
      for (const id of ids) await sender.append(Readings, order(id));
      await application.connect([group("late")]);
      await application.until("each group has all", () => {
        return seen.early.length >= ids.length && seen.late.length >= ids.length;
      });
      for (const got of [seen.early, seen.late])
        for (const letter of letters)
          assert.deepEqual(
            got.filter((id) => id.startsWith(letter)),
            ids.filter((id) => id.startsWith(letter)),
          );
    },
  },
];
