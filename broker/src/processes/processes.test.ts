import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { folder, open, probe, toQueue, topology, until } from "../fixture.test.support.ts";
import { heard, startWorker } from "../worker.test.support.ts";

const queue = "orders";
const source = { kind: "queue", name: queue } as const;

test("processes on one file: what several send, several handle, each message once", async (context) => {
  const directory = folder(context);
  const transport = await open(context, directory);
  await transport.declare(topology({ queues: [{ name: queue }] }));
  const order = { directory, queue, lockMs: 10_000, count: 500 };
  const workers = (["settle", "settle", "send", "send"] as const).map((role) =>
    startWorker({ ...order, role }),
  );
  context.after(() => workers.forEach((worker) => worker.kill("SIGKILL")));
  const bodies: unknown[] = [];
  for (const worker of workers.slice(0, 2)) worker.on("message", (body) => bodies.push(body));
  await until("all messages", () => bodies.length >= 1_000, 30_000);
  assert.equal(new Set(bodies).size, 1_000);
  assert.equal(bodies.length, 1_000);
});

test("a consumer killed while it held a lock: the message comes to another one as attempt 2", async (context) => {
  const directory = folder(context);
  const transport = await open(context, directory);
  await transport.declare(topology({ queues: [{ name: queue }] }));
  await transport.send([toQueue(queue, "orphan")]);
  const worker = startWorker({ directory, queue, role: "hold", lockMs: 2_000, count: 0 });
  assert.equal(await heard(worker), "holding");
  worker.kill("SIGKILL");
  await once(worker, "exit");
  const { deliveries } = probe(transport, source);
  await until("the orphan", () => deliveries.length > 0);
  assert.equal(deliveries[0]?.attempt, 2);
  assert.equal(await deliveries[0]?.settle({ kind: "complete" }), "settled");
});

test("a process suspended for longer than its lock settles in vain", async (context) => {
  const directory = folder(context);
  const transport = await open(context, directory);
  await transport.declare(topology({ queues: [{ name: queue }] }));
  await transport.send([toQueue(queue, "contested")]);
  const worker = startWorker({ directory, queue, role: "hold", lockMs: 300, count: 0 });
  context.after(() => worker.kill("SIGKILL"));
  assert.equal(await heard(worker), "holding");
  worker.send("suspend");
  const { deliveries } = probe(transport, source);
  await until("the second delivery", () => deliveries.length > 0);
  const answer = heard(worker);
  worker.kill("SIGCONT");
  worker.send("settle");
  assert.equal(await answer, "lockLost");
  assert.equal(await deliveries[0]?.settle({ kind: "complete" }), "settled");
});

test("a producer killed while it sends leaves whole messages only, and the broker goes on", async (context) => {
  const directory = folder(context);
  const transport = await open(context, directory);
  await transport.declare(topology({ queues: [{ name: queue }] }));
  const worker = startWorker({ directory, queue, role: "send", lockMs: 1_000, count: 20_000 });
  const { deliveries } = probe(transport, source, {
    onDelivery: (delivery) => void delivery.settle({ kind: "complete" }),
  });
  await until("the first messages", () => deliveries.length > 100, 30_000);
  worker.kill("SIGKILL");
  await once(worker, "exit");
  await transport.send([toQueue(queue, "last")]);
  await until("the last message", () => deliveries.at(-1)?.envelope.body === "last", 30_000);
  assert.ok(
    deliveries.every(({ envelope }) => envelope.header.id !== "" && envelope.body.length > 0),
  );
});

test("a process with nothing to do but wait for the write lock does not end before its message is stored", async (context) => {
  const directory = folder(context);
  const declaring = await open(context, directory);
  await declaring.declare(topology({ queues: [{ name: queue }] }));
  await declaring[Symbol.asyncDispose]();
  const worker = startWorker({ directory, queue, role: "send-and-leave", lockMs: 1_000, count: 1 });
  context.after(() => worker.kill("SIGKILL"));
  assert.equal(await heard(worker), "ready");
  const rival = new DatabaseSync(join(directory, "waybill.db"));
  rival.exec("begin immediate");
  worker.send("go");
  // It writes the moment of each try into the file of turns.
  await until("its first try", () => lastTry(directory) > 0);
  const first = lastTry(directory);
  await until("it to try for a while", () => lastTry(directory) - first >= 300);
  assert.equal(worker.exitCode, null);
  rival.exec("rollback");
  rival.close();
  assert.deepEqual(await once(worker, "exit"), [0, null]);
  const { deliveries } = probe(await open(context, directory), source);
  await until("the message", () => deliveries.length === 1);
});

function lastTry(directory: string): number {
  const turns = readFileSync(join(directory, "waybill.turn"));
  const moments = Array.from({ length: turns.length / 8 }, (_, slot) =>
    turns.readDoubleLE(slot * 8),
  );
  return Math.max(0, ...moments);
}
