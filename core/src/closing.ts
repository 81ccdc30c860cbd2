import { WaybillError, messageOf } from "./errors.ts";
import type { Transport } from "./ports/transport.ts";
import type { Running } from "./running.ts";
import type { Runtime } from "./runtime.ts";
import { within } from "./within.ts";

const transportMsMax = 10_000;
/** What handlers have committed is sent even when they took all the time there was. */
const flushMsMin = 1_000;

/** What takes work in, and answers how much of it had not ended in time. */
interface Stoppable {
  stop(deadlineMs: number): Promise<number>;
}

/** In order: intake, handlers, outboxes, calls, brokers, stores. Error: SHUTDOWN_INCOMPLETE. */
export async function closeRunning(running: Running, deadlineMs: number): Promise<void> {
  const { calls, channels, runtime, loop, stores, schedulers } = running;
  const { endDepths, endForgetting } = running;
  const captured = running.captures.close();
  runtime.vigil.hold();
  loop?.end();
  endDepths?.();
  try {
    const { clock } = runtime.environment;
    const until = clock.monotonic() + deadlineMs;
    const resting = Promise.all(schedulers.map((scheduler) => scheduler.end()));
    await within(runtime.environment, resting, deadlineMs);
    const left = await drain(running, until - clock.monotonic());
    await endForgetting?.();
    await captured;
    await stores.flush(Math.max(flushMsMin, until - clock.monotonic()));
    calls.close();
    for (const channel of channels) await channel[Symbol.asyncDispose]();
    const { brokers } = runtime;
    await Promise.all(brokers.map(({ transport }) => closeTransport(transport, runtime)));
    await stores.close(0);
    if (left.size > 0) throw incomplete(left, deadlineMs);
  } finally {
    runtime.vigil.end();
  }
}

/** Local calls last: handlers that are still running may make them. Answers how many had not ended, by address. */
async function drain(
  { listeners, servings, runtime }: Running,
  deadlineMs: number,
): Promise<ReadonlyMap<string, number>> {
  const { clock } = runtime.environment;
  const until = clock.monotonic() + deadlineMs;
  const left = new Map<string, number>();
  const stop = async (address: string, intake: Stoppable): Promise<void> => {
    const count = await intake.stop(until - clock.monotonic());
    if (count > 0) left.set(address, (left.get(address) ?? 0) + count);
  };
  await Promise.all([
    ...listeners.map((listener) => stop(listener.address, listener)),
    ...servings.map(({ address, remote }) => stop(address, remote)),
  ]);
  await Promise.all(servings.map(({ address, local }) => stop(address, local)));
  return left;
}

function incomplete(left: ReadonlyMap<string, number>, deadlineMs: number): WaybillError {
  const unfinished = left.values().reduce((sum, count) => sum + count, 0);
  const running = [...left.keys()];
  return new WaybillError(
    "SHUTDOWN_INCOMPLETE",
    `${unfinished} handlers were still running after ${deadlineMs} ms, or the broker had not answered how they ended: ${running.join(", ")}. Their messages stay with the broker and come again; let handlers heed context.signal or raise deadlineMs.`,
    { details: { unfinished, running } },
  );
}

async function closeTransport(
  transport: Transport,
  { environment, logger }: Runtime,
): Promise<void> {
  const closed = Promise.resolve(transport[Symbol.asyncDispose]()).catch((error: unknown) => {
    logger.error(`${transport.name} did not close well: ${messageOf(error)}`);
  });
  if (!(await within(environment, closed, transportMsMax))) {
    logger.error(
      `${transport.name} did not close within ${transportMsMax} ms and is left to itself.`,
    );
  }
}
