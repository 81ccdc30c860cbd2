import { type Schema, command } from "@waybill/contracts";
import { type TransportFactory, connect, service, terminated } from "@waybill/core";
import { reallyWait } from "../environment.ts";
import { openLedger } from "./ledger.ts";

interface Job {
  readonly id: string;
  readonly note: string;
}

const Job: Schema<Job> = {
  "~standard": {
    version: 1,
    vendor: "crash-suite",
    validate: (value) => ({ value: value as Job }),
  },
};

const DoJob = command("crash.do-job", { input: Job });
const lanes = 20;
const paceMs = 10;
/** Some handlers take a moment, so that an end meets work that has begun. */
const slowMs = 50;
/** Long enough that who is well renews it on a machine that is busy. */
export const crashLockMs = 5_000;

/**
 * One process of `crashSuite`: the whole of a script that the adapter puts beside its tests. `producer` sends until SIGTERM, `consumer`
 * handles until SIGTERM; both write down what they saw.
 *
 * @example
 * await crashWorker((url) => rabbitmq({ url }));
 */
export async function crashWorker(
  transportAt: (url: string) => TransportFactory,
  args: readonly string[] = process.argv.slice(2),
): Promise<void> {
  const [role = "", url = "", ledgers = "", number = "0"] = args;
  using ledger = openLedger(ledgers, `${role}-${number}`);
  const transport = transportAt(url);
  const ending = terminated();
  if (role === "consumer") {
    const consumer = service("consumer").handle(
      DoJob,
      async ({ id }, context) => {
        if (id.endsWith("7")) await context.sleep(slowMs);
        ledger.handled(id);
      },
      { lockMs: crashLockMs, retry: { attempts: 100, delayMs: 100, factor: 1 } },
    );
    await using _ = await connect({ transport, services: [consumer] });
    process.send?.("ready");
    await ending;
    return;
  }
  await using bus = await connect({
    transport,
    services: [service("producer", { sends: [DoJob] })],
  });
  process.send?.("ready");
  const stop = new AbortController();
  void ending.then(() => stop.abort());
  const lane = async (_: unknown, index: number): Promise<void> => {
    for (let next = 0; !stop.signal.aborted; next++) {
      const id = `${number}-${index}-${next}`;
      await bus.send(DoJob, { id, note: "x".repeat(300) });
      ledger.accepted(id);
      await reallyWait(paceMs);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}
