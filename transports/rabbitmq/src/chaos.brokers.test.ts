import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { type Schema, command, event } from "@waybill/contracts";
import { WaybillError, connect, service } from "@waybill/core";
import { TcpFaultProxy } from "@waybill/testkit";
import { connect as amqp } from "amqplib";
import { Corner, until } from "./corner.test.support.ts";
import { port, url } from "./subject.test.support.ts";

const Job: Schema<{ readonly id: string }> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => ({ value: value as { id: string } }),
  },
};

interface Fault {
  readonly what: string;
  /** A message may be handled twice: its confirmation or its acknowledgement was lost. */
  readonly repeats: boolean;
  readonly inflict: (proxy: TcpFaultProxy) => void;
  readonly lastsMs: number;
}

const faults: readonly Fault[] = [
  {
    what: "connections are reset in the middle of a frame, both ways",
    repeats: true,
    inflict: (proxy) => {
      proxy.resetAfter(1_234, "toServer");
      proxy.resetAfter(4_321, "toClient");
    },
    lastsMs: 200,
  },
  {
    what: "connections are half open: what the server says does not arrive",
    repeats: true,
    inflict: (proxy) => proxy.freeze(["toClient"]),
    lastsMs: 3_500,
  },
  {
    what: "confirmations are swallowed",
    repeats: true,
    inflict: (proxy) => proxy.swallow(["toClient"]),
    lastsMs: 300,
  },
  {
    what: "single bytes arrive",
    repeats: false,
    inflict: (proxy) => proxy.shape({ chunkBytes: 1 }),
    lastsMs: 300,
  },
  {
    what: "the line is slow",
    repeats: false,
    inflict: (proxy) => proxy.shape({ latencyMs: 100 }),
    lastsMs: 500,
  },
  {
    what: "the line is narrow",
    repeats: false,
    inflict: (proxy) => proxy.shape({ bytesPerSecond: 100_000 }),
    lastsMs: 500,
  },
  {
    what: "nobody listens for a while",
    repeats: true,
    inflict: (proxy) => {
      proxy.refuse();
      proxy.reset();
    },
    lastsMs: 1_000,
  },
];

for (const { what, repeats, inflict, lastsMs } of faults)
  test(`${what}: nothing that was confirmed is lost, and within 10 seconds all goes on by itself`, async () => {
    await using proxy = await TcpFaultProxy.listen({ port });
    await using corner = new Corner();
    const transport = corner.factory({
      url: `amqp://127.0.0.1:${proxy.port}`,
      heartbeatSeconds: 1,
    });
    const DoJob = command(corner.name("job"), { input: Job });
    const runs = new Map<string, number>();
    const worker = service("worker").handle(
      DoJob,
      ({ id }) => void runs.set(id, (runs.get(id) ?? 0) + 1),
      { retry: { attempts: 100 } },
    );
    const bus = await connect({ transport, services: [worker], logger: corner.logger });
    const confirmed: string[] = [];
    const ended = new AbortController();
    const send = async (sender: number): Promise<void> => {
      for (let count = 0; !ended.signal.aborted; count++) {
        const id = `${sender}.${count}`;
        await bus.send(DoJob, { id }).then(
          () => confirmed.push(id),
          () => undefined,
        );
        await pause(1);
      }
    };
    const senders = Promise.all(Array.from({ length: 8 }, (_, index) => send(index)));
    await until("it flows", () => confirmed.length > 50);
    inflict(proxy);
    await pause(lastsMs);
    proxy.heal();
    const healed = performance.now();
    const before = confirmed.length;
    await until("it flows again", () => confirmed.length > before + 50, 10_000);
    ended.abort();
    await senders;
    await until("all is handled", () => confirmed.every((id) => runs.has(id)), 10_000);
    assert.ok(performance.now() - healed < 10_000);
    if (!repeats)
      assert.deepEqual(
        [...runs].filter(([, times]) => times > 1),
        [],
      );
    assert.deepEqual(await bus.deadLetters.list(), []);
    await bus.close({ deadlineMs: 5_000 });
  });

test("close ends by its deadline while the server is out of reach", async () => {
  await using proxy = await TcpFaultProxy.listen({ port });
  await using corner = new Corner();
  const transport = corner.factory({ url: `amqp://127.0.0.1:${proxy.port}` });
  const DoJob = command(corner.name("job"), { input: Job });
  let begun = false;
  const worker = service("worker").handle(DoJob, async () => {
    begun = true;
    await pause(200);
  });
  const bus = await connect({ transport, services: [worker], logger: corner.logger });
  await bus.send(DoJob, { id: "1" });
  await until("it has begun", () => begun);
  proxy.freeze();
  const from = performance.now();
  await bus.close({ deadlineMs: 1_000 }).catch((error: unknown) => {
    assert.ok(error instanceof WaybillError && error.code === "SHUTDOWN_INCOMPLETE", String(error));
  });
  const tookMs = performance.now() - from;
  assert.ok(tookMs < 4_000, `it took ${Math.round(tookMs)} ms`);
});

test("a queue that is deleted underneath is made again, and what is sent then is handled", async () => {
  await using corner = new Corner();
  const DoJob = command(corner.name("job"), { input: Job });
  const seen: string[] = [];
  const worker = service("worker").handle(DoJob, ({ id }) => void seen.push(id));
  await using bus = await connect({ ...corner.options, services: [worker] });
  await bus.send(DoJob, { id: "1" });
  await until("the first", () => seen.length === 1);
  const connection = await amqp(url);
  const channel = await connection.createChannel();
  await channel.deleteQueue(DoJob.name);
  await connection.close();
  await until(
    "the second",
    async () => {
      if (seen.length === 1) await bus.send(DoJob, { id: "2" }).catch(() => pause(50));
      return seen.includes("2");
    },
    10_000,
  );
  assert.ok(corner.log.some((line) => line.includes("its queue was deleted or moved")));
});

test("a channel that the server closes is opened again, and only who caused it is told", async () => {
  await using corner = new Corner();
  const Happened = event(corner.name("happened"), { payload: Job });
  const DoJob = command(corner.name("job"), { input: Job });
  const seen: string[] = [];
  const worker = service("worker", { publishes: [Happened] }).handle(
    DoJob,
    ({ id }) => void seen.push(id),
  );
  await using bus = await connect({ ...corner.options, services: [worker] });
  const connection = await amqp(url);
  const channel = await connection.createChannel();
  await channel.deleteExchange(Happened.topic);
  await connection.close();
  // To publish to what is not there ends the channel, with everything on it that is not confirmed.
  const sent = ["1", "2", "3"].map((id) => bus.send(DoJob, { id }));
  await assert.rejects(bus.publish(Happened, { id: "1" }), { code: "UNROUTABLE" });
  await Promise.all(sent);
  await bus.send(DoJob, { id: "4" });
  await until("all", () => new Set(seen).size === 4);
});
