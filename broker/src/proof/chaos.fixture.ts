/**
 * One process of the chaos tests: `chaos.fixture.ts <role> <data> <ledgers> <number>`. It runs the whole pipeline
 * as an application does: a producer sends without end, a consumer handles, `both` does both; all write down what they saw.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Schema, command } from "@waybill/contracts";
import { type Context, type TransportFactory, connect, service, terminated } from "@waybill/core";
import { openLedger } from "@waybill/testkit";
import { embedded } from "../index.ts";

const [role = "", data = "", ledgers = "", number = "0"] = process.argv.slice(2);

interface Job {
  readonly id: string;
  readonly key: string;
  readonly note: string;
}

const job: Schema<Job> = {
  "~standard": { version: 1, vendor: "chaos", validate: (value) => ({ value: value as Job }) },
};
const DoJob = command("chaos.do-job", { input: job });
const DoInOrder = command("chaos.do-in-order", { input: job, key: ({ key }) => key });
const retry = { attempts: 100, delayMs: 10, factor: 1 };
/** Sends under way at once, and the pause after each: a load that two consumers keep up with, so that what waits at the end is soon handled. */
const lanes = 40;
/** Lanes whose messages have a key, their own: what one sends is to be handled in its order. */
const keyedLanes = 10;
const paceMs = 4;
/** Of the planted bug so many are in hand at any time that a kill is sure to meet one, on a slow machine as well. */
const slowMs = role === "hasty-consumer" ? 500 : 50;

using ledger = openLedger(ledgers, `${role}-${number}`);
const transport = embedded({ directory: data });

if (role === "producer") await produce();
else if (role === "both") await Promise.all([produce(), consume(transport)]);
else await consume(role === "hasty-consumer" ? acknowledgedFirst(transport) : transport);

async function produce(): Promise<void> {
  const producer = service("producer", { sends: [DoJob, DoInOrder] });
  await using bus = await connect({ transport, services: [producer] });
  const stop = new AbortController();
  void terminated().then(() => stop.abort());
  process.send?.("ready");
  const lane = async (_: unknown, index: number): Promise<void> => {
    const contract = index < keyedLanes ? DoInOrder : DoJob;
    const key = `${number}-${index}`;
    for (let next = 0; !stop.signal.aborted; next++) {
      const id = `${key}-${next}`;
      await bus.send(contract, { id, key, note: "x".repeat(300) });
      ledger.accepted(id);
      await sleep(paceMs);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

async function consume(from: TransportFactory): Promise<void> {
  const options = { retry, lockMs: 1_000, concurrency: 64, prefetch: 256 };
  const work = async (id: string, context: Pick<Context, "sleep">): Promise<void> => {
    // Some handlers take a moment, so that a kill or a shutdown meets work that has begun.
    if (id.endsWith("7")) await context.sleep(slowMs);
  };
  const consumer = service("consumer")
    .handle(
      DoJob,
      async ({ id }, context) => {
        await work(id, context);
        ledger.handled(id);
      },
      options,
    )
    .handle(
      DoInOrder,
      async ({ id, key }, context) => {
        await work(id, context);
        ledger.handled(id, key);
      },
      options,
    );
  await using bus = await connect({ transport: from, services: [consumer] });
  process.send?.("ready");
  await terminated();
  void bus;
}

/** The planted bug: a transport that acknowledges before anything is handled. The chaos test must notice it. */
function acknowledgedFirst(factory: TransportFactory): TransportFactory {
  return {
    name: factory.name,
    open: async (host) => {
      const inner = await factory.open(host);
      return Object.assign(Object.create(inner) as typeof inner, {
        capabilities: inner.capabilities,
        inspection: inner.inspection,
        name: inner.name,
        declare: inner.declare.bind(inner),
        send: inner.send.bind(inner),
        [Symbol.asyncDispose]: inner[Symbol.asyncDispose].bind(inner),
        receive: (...[source, options, listener]: Parameters<typeof inner.receive>) =>
          inner.receive(source, options, {
            fault: (error) => listener.fault(error),
            deliver: (batch) => {
              for (const delivery of batch) {
                void delivery.settle({ kind: "complete" });
                delivery.settle = () => Promise.resolve("settled");
              }
              listener.deliver(batch);
            },
          }),
      });
    },
  };
}
