import assert from "node:assert/strict";
import { test } from "node:test";
import { systemEnvironment } from "./system.ts";

const { clock, timers } = systemEnvironment;
const roundingMs = 1e-6;

test("no timer fires before its delay has passed, fractions of milliseconds included", async () => {
  const delays = Array.from({ length: 400 }, (_, index) => 1 + index / 7);
  const early = await Promise.all(
    delays.map(
      (delayMs) =>
        new Promise<number>((resolve) => {
          const setAt = clock.monotonic();
          timers.set(() => resolve(delayMs - (clock.monotonic() - setAt)), delayMs);
        }),
    ),
  );
  assert.deepEqual(
    early.filter((earlyMs) => earlyMs > roundingMs),
    [],
  );
});

test("a timer that Node rings too early waits for the rest, and can be cancelled meanwhile", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const fired: string[] = [];
  const cancelled = timers.set(() => void fired.push("cancelled"), 10_000);
  timers.set(() => void fired.push("due"), 0);
  context.mock.timers.tick(10_001);
  assert.deepEqual(fired, ["due"]);
  cancelled.cancel();
  context.mock.timers.tick(2 ** 30);
  assert.deepEqual(fired, ["due"]);
});
