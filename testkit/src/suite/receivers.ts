import assert from "node:assert/strict";
import type { SuiteCase } from "./case.ts";
import { numbers, toQueue } from "./messages.ts";
import { bodyText, complete, renewedLockMs } from "./probe.ts";

export const receiverCases: readonly SuiteCase[] = [
  {
    id: "receive.prefetch",
    title: "a receiver never holds more messages than its prefetch",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send(numbers(20).map((body) => toQueue(queue, body)));
      const probe = stage.receive(transport, source, { prefetch: 4 });
      const [first] = await probe.take(4);
      await probe.nothingMore();
      await first?.settle(complete);
      await probe.take(1);
      await probe.nothingMore();
    },
  },
  {
    id: "receive.prefetch-bytes",
    title: "a receiver never holds more bytes than its prefetch allows, but always one message",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const body = "x".repeat(1_000);
      await transport.send([body.repeat(5), body, body, body].map((each) => toQueue(queue, each)));
      const probe = stage.receive(transport, source, { prefetchBytes: 2_000 });
      const large = await probe.next();
      await probe.nothingMore();
      await large.settle(complete);
      const [first] = await probe.take(2);
      await probe.nothingMore();
      await first?.settle(complete);
      await probe.take(1);
      await probe.nothingMore();
    },
  },
  {
    id: "receive.pause",
    title: "a paused receiver gets nothing until it resumes, and then what came meanwhile",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const probe = stage.receive(transport, source);
      await transport.send([toQueue(queue, "before")]);
      await (await probe.next()).settle(complete);
      probe.receiver.pause();
      await stage.pass(20);
      await transport.send([toQueue(queue, "meanwhile")]);
      await probe.nothingMore();
      probe.receiver.resume();
      assert.equal(bodyText(await probe.next()), "meanwhile");
    },
  },
  {
    id: "receive.stop",
    title:
      "after stop nothing is delivered, what was delivered can still be settled, and the rest waits for others",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send(numbers(6).map((body) => toQueue(queue, body)));
      const probe = stage.receive(transport, source, { prefetch: 2 });
      const taken = await probe.take(2);
      await probe.receiver.stop();
      for (const delivery of taken) assert.equal(await delivery.settle(complete), "settled");
      await probe.nothingMore();
      const next = stage.receive(transport, source);
      assert.deepEqual((await next.take(4)).map(bodyText).toSorted(), ["2", "3", "4", "5"]);
      await next.nothingMore();
    },
  },
  {
    id: "receive.stop-renews",
    title: "what a stopped receiver still holds stays renewed beyond its lock",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send([toQueue(queue, "slow")]);
      const probe = stage.receive(transport, source, { lockMs: renewedLockMs });
      const delivery = await probe.next();
      await probe.receiver.stop();
      await probe.receiver.stop();
      const rival = stage.receive(await stage.open(), source);
      await rival.nothingMore(1.5 * renewedLockMs);
      assert.equal(await delivery.settle(complete), "settled");
      await rival.nothingMore();
    },
  },
  {
    id: "receive.missing",
    title: "receiving from what does not exist is told, by an error or a fault",
    run: async (stage) => {
      const { transport } = await stage.withQueue();
      try {
        const probe = stage.receive(transport, { kind: "queue", name: stage.name("nowhere") });
        await stage.until("a fault", () => probe.faults.length > 0);
      } catch (error) {
        assert.equal((error as { code?: string }).code, "NOT_FOUND");
      }
    },
  },
];
