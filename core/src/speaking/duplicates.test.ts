import assert from "node:assert/strict";
import { test } from "node:test";
import { command, event, type Schema } from "@waybill/contracts";
import { connect, memory, service, type TransportFactory } from "../index.ts";

const anything: Schema<string> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as string }) },
};
const Pay = command("billing.pay", { input: anything, dedupMs: 60_000 });
const Refund = command("billing.refund", { input: anything, queue: "billing.pay", dedupMs: 1 });
const Paid = event("billing.paid", { payload: anything, dedupMs: 60_000 });

test("a command or an event with dedupMs is handled once however often it is sent, and that is counted", async () => {
  const handled: string[] = [];
  const billing = service("billing", { publishes: [Paid] })
    .handle(Pay, (text) => void handled.push(text))
    .handle(Refund, (text) => void handled.push(text))
    .on(Paid, (text) => void handled.push(text));
  await using bus = await connect({ transport: memory(), services: [billing] });
  for (const text of ["one", "two"]) {
    assert.equal((await bus.send(Pay, text, { id: "a" })).id, "a");
    await bus.send(Refund, `refund ${text}`, { dedupId: "order-1" });
    await bus.publish(Paid, `paid ${text}`, { id: "b" });
  }
  while (handled.length < 3) await new Promise(setImmediate);
  await new Promise(setImmediate);
  assert.deepEqual(handled.toSorted(), ["one", "paid one", "refund one"]);
  const { contracts } = await bus.health();
  for (const { name } of [Pay, Refund, Paid]) {
    const { sent, duplicates } = contracts[name] ?? {};
    assert.deepEqual([sent, duplicates], [2, 1]);
  }
  for (const dedupId of ["", "x".repeat(257), 7 as unknown as string])
    await assert.rejects(bus.send(Pay, "three", { dedupId }), { code: "OPTION_INVALID" });
});

test("a window that the transport cannot keep, or that is none, is refused when the bus connects", async () => {
  const broker = memory();
  const forgetful: TransportFactory = {
    name: "forgetful",
    open: async (host) => {
      const transport = await broker.open(host);
      const capabilities = { ...transport.capabilities, dedupWindowMs: 30_000 };
      return new Proxy(transport, {
        get: (target, name) => {
          if (name === "capabilities") return capabilities;
          const value: unknown = Reflect.get(target, name, target);
          return typeof value === "function" ? (value.bind(target) as unknown) : value;
        },
      });
    },
  };
  const services = [service("shop", { sends: [Pay] })];
  await assert.rejects(connect({ transport: forgetful, services }), (error: Error) => {
    assert.match(error.message, /"billing.pay" asks for dedupMs: 60000; .* 30000 ms at most/);
    return (error as Error & { code?: string }).code === "NOT_SUPPORTED";
  });
  const Wrong = command("billing.wrong", { input: anything, dedupMs: -1 });
  await assert.rejects(
    connect({ transport: memory(), services: [service("shop", { sends: [Wrong] })] }),
    { code: "WIRING_INVALID", message: /dedupMs of the command|dedupMs of command/ },
  );
});
