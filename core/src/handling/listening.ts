import { Gatherer } from "../batch/gatherer.ts";
import type { Entry } from "./entry.ts";
import type { CircuitBreaker } from "../flow/circuit-breaker.ts";
import { type GateSide, RateGate } from "../flow/rate-gate.ts";
import { Rates } from "../flow/rates.ts";
import { Listener } from "./listener.ts";
import { MessageRunner } from "./message-runner.ts";
import type { IncomingStep } from "./pipeline.ts";
import { type Delivery, addressOf } from "../ports/transport.ts";
import type { Intake } from "../wiring/route.ts";
import type { Runtime } from "../runtime.ts";
import type { Speech } from "../speaking/speech.ts";
import { timeLimit } from "./time-limit.ts";

interface ListenerParts {
  readonly runtime: Runtime;
  readonly speech: Speech;
  readonly steps: readonly IncomingStep[];
  readonly breakers: ReadonlyMap<string, CircuitBreaker>;
}

/** What reads a queue, a subscription or a stream for its handlers. Compiles their steps; nothing is received before `start()`. */
export function toListener(
  intake: Intake,
  { runtime, speech, steps, breakers }: ListenerParts,
): Listener {
  const runner = new MessageRunner(intake, runtime, steps);
  const { source, concurrency, prefetch, lockMs, start } = intake;
  const shared = {
    source,
    prefetch,
    lockMs,
    start,
    ...(runner.filters && { wants: (delivery: Delivery) => runner.wants(delivery) }),
    ...(runner.ordered && { lane: (delivery: Delivery) => runner.lane(delivery) }),
    released: (entry: Entry): void => runner.released(entry),
  };
  const [route] = intake.routes;
  if (route?.batch !== undefined) {
    const gathering = new Gatherer({ concurrency, bounds: route.batch }, runtime, {
      route,
      speech,
      limit: timeLimit(route, runtime),
      begin: (entry) => runner.run(entry),
    });
    return new Listener(
      {
        ...shared,
        // Each waits with the others for its batch.
        concurrency: prefetch,
        // Enough for a batch of as many keys; the rest of the prefetch is for more messages of each.
        sessions: Math.min(prefetch, route.batch.size * concurrency),
        gathering,
        run: (entry) => gathering.run(entry),
      },
      runtime,
    );
  }
  const rates = new Rates(intake, runtime, runner.routeOf);
  const breaker = breakers.get(addressOf(source));
  return new Listener(
    {
      ...shared,
      ...(rates.any && { gate: (side: GateSide) => new RateGate(runtime, rates.of, side) }),
      ...(breaker !== undefined && { breaker }),
      concurrency,
      // As many as handlers can be busy with, and as many again that wait for a handler.
      sessions: Math.min(prefetch, concurrency * 2),
      run: (entry) => runner.run(entry),
    },
    runtime,
  );
}
