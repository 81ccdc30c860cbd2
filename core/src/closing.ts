import { WaybillError, messageOf } from "./errors.ts";
import type { Transport } from "./ports/transport.ts";
import type { Running } from "./running.ts";
import type { Runtime } from "./runtime.ts";
import { within } from "./within.ts";

const transportMsMax = 10_000;
/** What handlers have committed is sent even when they took all the time there was. */
const flushMsMin = 1_000;

/** In order: intake, handlers, outboxes, calls, brokers, stores. Error: SHUTDOWN_INCOMPLETE. */
export async function closeRunning(running: Running, deadlineMs: number): Promise<void> {
  const { listeners, calls, channels, runtime, loop, stores, endDepths, endForgetting } = running;
  runtime.vigil.hold();
  loop?.end();
  endDepths?.();
  try {
    const { clock } = runtime.environment;
    const until = clock.monotonic() + deadlineMs;
    const unfinished = await drain(running, deadlineMs);
    await endForgetting?.();
    await stores.flush(Math.max(flushMsMin, until - clock.monotonic()));
    calls.close();
    for (const channel of channels) await channel[Symbol.asyncDispose]();
    const { brokers } = runtime;
    await Promise.all(brokers.map(({ transport }) => closeTransport(transport, runtime)));
    await stores.close(0);
    if (unfinished === 0) return;
    throw new WaybillError(
      "SHUTDOWN_INCOMPLETE",
      `${unfinished} handlers were still running after ${deadlineMs} ms. Their messages stay with the broker and come again; let handlers heed context.signal or raise deadlineMs.`,
      {
        details: {
          unfinished,
          running: listeners.filter(({ inFlight }) => inFlight > 0).map(({ address }) => address),
        },
      },
    );
  } finally {
    runtime.vigil.end();
  }
}

/** Local calls last: handlers that are still running may make them. Answers how many handlers had not ended. */
async function drain(
  { listeners, servings, runtime }: Running,
  deadlineMs: number,
): Promise<number> {
  const { clock } = runtime.environment;
  const until = clock.monotonic() + deadlineMs;
  const outer = await Promise.all(
    [...listeners, ...servings.map(({ remote }) => remote)].map((each) => each.stop(deadlineMs)),
  );
  const inner = await Promise.all(
    servings.map(({ local }) => local.stop(until - clock.monotonic())),
  );
  return [...outer, ...inner].reduce((sum, count) => sum + count, 0);
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
