import assert from "node:assert/strict";
import type { AddressState, Inspection } from "@waybill/core";
import {
  type SuiteCase,
  needsAll,
  needsCounts,
  needsDelay,
  needsLists,
  needsStreams,
} from "./case.ts";
import { failure, numbers, toQueue, toStream } from "./messages.ts";
import { bodyText, complete } from "./probe.ts";
import { withStream } from "./streams.ts";

export async function stateOf(
  inspection: Inspection,
  address: string,
): Promise<AddressState | undefined> {
  return (await inspection.addresses()).find((state) => state.address === address);
}

export const inspectionCases: readonly SuiteCase[] = [
  {
    id: "inspect.counts",
    title: "an address tells how many messages are ready, in flight, scheduled, deferred and dead",
    notFor: needsAll(needsDelay(60_000), needsCounts("inFlight", "scheduled", "deferred")),
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send(numbers(6).map((body) => toQueue(queue, body)));
      const probe = stage.receive(transport, source, { prefetch: 4 });
      const [first, second, third] = await probe.take(4);
      await probe.receiver.stop();
      await first?.settle({ kind: "deadLetter", failure: failure(1) });
      await second?.settle({ kind: "defer" });
      await third?.settle({ kind: "retry", delayMs: 60_000, failure: failure(1) });
      await transport.send([toQueue(queue, "later", { notBefore: stage.now() + 60_000 })]);
      await stage.until("the numbers", async () => {
        const { ready, inFlight, scheduled, deferred, dead } =
          (await stateOf(transport.inspection, queue)) ?? {};
        return [ready, inFlight, scheduled, deferred, dead].join() === "2,1,2,1,1";
      });
      assert.equal((await stateOf(transport.inspection, queue))?.kind, "queue");
    },
  },
  {
    id: "inspect.lists",
    title: "messages of every state can be listed, and say which state they are in",
    notFor: needsAll(needsDelay(60_000), needsLists("inFlight", "ready", "scheduled")),
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send([
        toQueue(queue, "held"),
        toQueue(queue, "waits"),
        toQueue(queue, "later", { notBefore: stage.now() + 60_000 }),
      ]);
      const probe = stage.receive(transport, source, { prefetch: 1 });
      const held = await probe.next();
      for (const [state, body] of [
        ["inFlight", "held"],
        ["ready", "waits"],
        ["scheduled", "later"],
      ] as const) {
        const [message, ...more] = await stage.listed(
          transport.inspection,
          { state, address: queue },
          1,
        );
        assert.equal(message === undefined ? "" : bodyText(message), body);
        assert.equal(message?.state, state);
        assert.equal(message?.attempt, state === "inFlight" ? 1 : 0);
        assert.equal(more.length, 0);
      }
      assert.equal(await held.settle(complete), "settled");
    },
  },
  {
    id: "inspect.oldest",
    title: "an address tells the age of what waits longest, and 0 when nothing waits",
    notFor: needsCounts("oldestReadyMs"),
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      assert.equal((await stateOf(transport.inspection, queue))?.oldestReadyMs, 0);
      await transport.send([toQueue(queue, "old")]);
      await stage.pass(100);
      await transport.send([toQueue(queue, "young")]);
      const age = (await stateOf(transport.inspection, queue))?.oldestReadyMs ?? 0;
      assert.ok(age >= 95 && age < 5_000, `the oldest is ${age} ms old`);
      await stage.receive(transport, source).take(2);
      await stage.until(
        "nothing waits",
        async () => (await stateOf(transport.inspection, queue))?.oldestReadyMs === 0,
      );
    },
  },
  {
    id: "inspect.receivers",
    title: "an address tells how many receivers it has, and none after they stopped",
    notFor: needsCounts("receivers"),
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const probe = stage.receive(transport, source);
      await stage.until(
        "one receiver",
        async () => (await stateOf(transport.inspection, queue))?.receivers === 1,
      );
      await probe.receiver.stop();
      await stage.until(
        "no receiver",
        async () => (await stateOf(transport.inspection, queue))?.receivers === 0,
      );
    },
  },
  {
    id: "inspect.stream",
    title: "a group of a stream tells how many items it has not completed",
    notFor: needsStreams,
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 2);
      const probe = stage.receive(transport, group(), { prefetch: 3 });
      await transport.send(numbers(10).map((body) => toStream(stream, body, body)));
      const taken = await probe.take(3);
      await probe.receiver.stop();
      const isKnown = transport.capabilities.counts.includes("inFlight");
      const held = await stateOf(transport.inspection, `${stream}@readers`);
      assert.deepEqual([held?.ready, held?.inFlight], [10, isKnown ? 3 : undefined]);
      for (const delivery of taken) await delivery.settle(complete);
      await stage.until(
        "7 items left",
        async () => (await stateOf(transport.inspection, `${stream}@readers`))?.ready === 7,
      );
      const state = await stateOf(transport.inspection, `${stream}@readers`);
      assert.equal(state?.kind, "stream");
      assert.equal(state?.inFlight, isKnown ? 0 : undefined);
    },
  },
];
