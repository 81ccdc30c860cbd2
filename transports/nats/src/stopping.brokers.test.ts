import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import type { Outgoing } from "@waybill/core";
import { ServerProcess, freePort } from "@waybill/testkit";
import { open, until } from "./corner.test.support.ts";
import { nats } from "./index.ts";
import { server } from "./server.test.support.ts";

const type = "orders.placed";
/** Few enough that the server is idle when it stops: it then takes its time. */
const lanes = 4;
const paceMs = 5;
const stops = 4;
const perStop = 100;

function event(id: string): Outgoing {
  return {
    to: { kind: "topic", name: "orders" },
    envelope: {
      header: {
        specversion: "1.0",
        id,
        source: "/test",
        type,
        time: new Date(0).toISOString(),
        datacontenttype: "text/plain",
        conversationid: id,
      },
      body: id,
    },
  };
}

test("a server that is asked to stop while events are sent loses none that was confirmed, and fails no sender", async () => {
  const port = await freePort();
  await using process = await ServerProcess.start(server(port));
  await using transport = await open(nats({ url: `nats://127.0.0.1:${port}` }));
  await transport.declare({
    queues: [],
    topics: [{ name: "orders" }],
    subscriptions: [{ topic: "orders", name: "billing", accepts: [{ type }] }],
    streams: [],
  });
  const seen = new Set<string>();
  transport.receive(
    { kind: "subscription", topic: "orders", name: "billing" },
    { prefetch: 100, prefetchBytes: 1_000_000, lockMs: 2_000 },
    {
      deliver: (batch) => {
        for (const delivery of batch) {
          seen.add(delivery.envelope.header.id);
          void delivery.settle({ kind: "complete" });
        }
      },
      fault: () => undefined,
    },
  );
  const confirmed: string[] = [];
  const ended = new AbortController();
  const sending = Array.from({ length: lanes }, async (_, lane) => {
    for (let next = 0; !ended.signal.aborted; next++) {
      const id = `${lane}-${next}`;
      await transport.send([event(id)]);
      confirmed.push(id);
      await pause(paceMs);
    }
  });
  const ending = Promise.all(sending);
  const flow = async (): Promise<void> => {
    for (let stop = 1; stop <= stops; stop++) {
      const enough = confirmed.length + perStop;
      await until("more is confirmed", () => confirmed.length >= enough);
      await process.restart("SIGTERM");
    }
    ended.abort();
  };
  await Promise.all([flow(), ending]).finally(() => ended.abort());
  const missing = (): readonly string[] => confirmed.filter((id) => !seen.has(id));
  await until("every confirmed event has come", () => missing().length === 0).catch(
    () => undefined,
  );
  assert.deepEqual(missing(), []);
});
