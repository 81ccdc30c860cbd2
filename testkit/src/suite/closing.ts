import assert from "node:assert/strict";
import type { SuiteCase } from "./case.ts";
import { numbers, toQueue, topology } from "./messages.ts";
import { complete, settleAll } from "./probe.ts";

export const closingCases: readonly SuiteCase[] = [
  {
    id: "close.twice",
    title:
      "closing ends within 5 seconds although messages are unsettled, and closing again is harmless",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send(numbers(10).map((body) => toQueue(queue, body)));
      const probe = stage.receive(transport, source);
      await probe.take(10);
      const started = stage.environment.clock.monotonic();
      await transport[Symbol.asyncDispose]();
      assert.ok(stage.environment.clock.monotonic() - started < 5_000);
      await transport[Symbol.asyncDispose]();
    },
  },
  {
    id: "close.refuses",
    title: "after closing everything is refused with CLOSED",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport[Symbol.asyncDispose]();
      const closed = { code: "CLOSED" };
      await assert.rejects(transport.send([toQueue(queue, "late")]), closed);
      await assert.rejects(transport.declare(topology({})), closed);
      await assert.rejects(transport.inspection.addresses(), closed);
      assert.throws(() => stage.receive(transport, source), closed);
    },
  },
  {
    id: "close.silence",
    title: "after closing nothing is delivered any more",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const sender = await stage.open();
      const probe = stage.receive(transport, source, { ...settleAll });
      await sender.send([toQueue(queue, "before")]);
      await probe.take(1);
      await transport[Symbol.asyncDispose]();
      await sender.send([toQueue(queue, "after")]);
      await probe.nothingMore();
    },
  },
  {
    id: "close.drains",
    title: "a receiver that stops before closing loses nothing and repeats nothing",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const leaving = await stage.open();
      const settle = { prefetch: 8, ...settleAll };
      const first = stage.receive(leaving, source, settle);
      await transport.send(numbers(200).map((body) => toQueue(queue, body)));
      await stage.until("a few deliveries", () => first.deliveries.length >= 10);
      await first.receiver.stop();
      await Promise.all(first.deliveries.map((delivery) => delivery.settle(complete)));
      if (transport.capabilities.counts.includes("inFlight"))
        await stage.until("nothing in flight", async () => {
          const states = await transport.inspection.addresses();
          return states.find(({ address }) => address === queue)?.inFlight === 0;
        });
      await leaving[Symbol.asyncDispose]();
      const second = stage.receive(transport, source, settle);
      await stage.until(
        "the rest",
        () => first.deliveries.length + second.deliveries.length >= 200,
      );
      await stage.pass(30);
      assert.deepEqual([...first.bodies, ...second.bodies].toSorted(), numbers(200).toSorted());
    },
  },
];
