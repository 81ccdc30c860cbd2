import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { type Delivery, type Environment, systemEnvironment } from "@waybill/core";
import { probe, silent, toQueue, topology } from "./fixture.test.support.ts";
import { embedded } from "./index.ts";

/** What another process is told to do. */
export interface Order {
  readonly directory: string;
  readonly role: "send" | "send-and-leave" | "hold" | "settle";
  readonly queue: string;
  readonly lockMs: number;
  readonly count: number;
  /** Where it sends something when it settles the last of what it holds; it then tells of each that it holds. */
  readonly sendTo?: string;
  /** Its wall clock jumps back and forth by so much. */
  readonly jumpMs?: number;
}

/** Starts another process on the same broker; it tells what it does by messages. */
export function startWorker(order: Order): ChildProcess {
  return fork(import.meta.filename, [JSON.stringify(order)], {
    execArgv: ["--conditions=@waybill/source"],
    stdio: "inherit",
  });
}

/** The next word of the worker. */
export async function heard(worker: ChildProcess): Promise<unknown> {
  const [word] = (await once(worker, "message")) as [unknown];
  return word;
}

async function work(order: Order): Promise<void> {
  const { directory, role, queue, lockMs, count, sendTo, jumpMs = 0 } = order;
  const transport = await embedded({ directory }).open({
    environment: jumpMs === 0 ? systemEnvironment : jumping(jumpMs),
    logger: silent,
    instance: `worker-${process.pid}`,
    unrouted: () => {},
  });
  await transport.declare(topology({ queues: [{ name: queue }] }));
  const say = (word: unknown): void => void process.send?.(word);
  if (role === "send-and-leave") {
    say("ready");
    await once(process, "message");
    process.disconnect();
    await transport.send([toQueue(queue, "parting")]);
    return;
  }
  if (role === "send") {
    await Promise.all(
      Array.from({ length: count }, (_, index) =>
        transport.send([toQueue(queue, `${process.pid}-${index}`)]),
      ),
    );
    say("sent");
  } else {
    let isHolding = false;
    const { deliveries } = probe(
      transport,
      { kind: "queue", name: queue },
      {
        lockMs,
        onDelivery: (delivery) => {
          if (role === "settle")
            void delivery.settle({ kind: "complete" }).then(() => say(delivery.envelope.body));
          else if (!isHolding || sendTo !== undefined) {
            isHolding = true;
            say("holding");
          }
        },
      },
    );
    const send = sendTo === undefined ? [] : [toQueue(sendTo, "follows")];
    const last = (): Delivery | undefined => deliveries.at(sendTo === undefined ? 0 : -1);
    process.on("message", (word) => {
      // By itself and here, where no transaction is open: suspended inside of one it would lock everybody out.
      if (word === "suspend") process.kill(process.pid, "SIGSTOP");
      else void last()?.settle({ kind: "complete", send }).then(say);
    });
  }
  // Lives until it is killed or its parent goes.
  process.on("disconnect", () => process.exit());
}

/** Wrong in one direction or the other, differently every 20 milliseconds. */
function jumping(ms: number): Environment {
  const { clock } = systemEnvironment;
  const now = (): number => clock.now() + (Math.floor(clock.monotonic() / 20) % 2 === 0 ? ms : -ms);
  return { ...systemEnvironment, clock: { ...clock, now } };
}

if (process.argv[1] === import.meta.filename)
  await work(JSON.parse(process.argv[2] ?? "") as Order);
