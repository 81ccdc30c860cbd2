import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep } from "@waybill/core";
import { fakeEnvironment } from "./environment.ts";
import { stallingEnvironment } from "./stall.ts";

test("timers ring in the order of their moment, then of their setting, each at its own moment", async () => {
  const { timers, clock, advance } = bound();
  const rung: string[] = [];
  const ring = (name: string) => () => void rung.push(`${name}@${clock.monotonic()}`);
  timers.set(ring("late"), 30);
  timers.set(ring("first"), 10);
  timers.set(ring("second"), 10);
  timers.set(ring("cancelled"), 10).cancel();
  timers.set(ring("beyond"), 1_000);
  await advance(100);
  assert.deepEqual(rung, ["first@10", "second@10", "late@30"]);
  assert.equal(clock.monotonic(), 100);
});

test("what a timer sets off runs before the next timer, promises and soon callbacks included", async () => {
  const { timers, advance } = bound();
  const story: string[] = [];
  timers.set(() => {
    timers.soon(() => {
      void Promise.resolve().then(async () => {
        await Promise.resolve();
        timers.soon(() => void story.push("deep"));
        return undefined;
      });
    });
  }, 5);
  timers.set(() => void story.push("next timer"), 6);
  await advance(10);
  assert.deepEqual(story, ["deep", "next timer"]);
});

test("a chain of timers set by timers is walked through in one advance", async () => {
  const { timers, clock, advance } = bound();
  const moments: number[] = [];
  const again = (): void => {
    moments.push(clock.monotonic());
    timers.set(again, 100);
  };
  timers.set(again, 100);
  await advance(350);
  assert.deepEqual(moments, [100, 200, 300]);
});

test("drain runs what is ready and leaves time alone; pendingSoon tells what waits", async () => {
  const environment = fakeEnvironment();
  let ran = 0;
  environment.timers.soon(() => {
    ran += 1;
    environment.timers.soon(() => void (ran += 1));
  });
  assert.equal(environment.pendingSoon, 1);
  await environment.drain();
  assert.equal(ran, 2);
  assert.equal(environment.pendingSoon, 0);
  assert.equal(environment.clock.monotonic(), 0);
});

test("advanceToNext moves to the next timer and says when there is none", async () => {
  const environment = fakeEnvironment();
  environment.timers.set(() => {}, 70);
  assert.equal(environment.pendingTimers, 1);
  assert.equal(await environment.advanceToNext(), true);
  assert.equal(environment.clock.monotonic(), 70);
  assert.equal(await environment.advanceToNext(), false);
});

test("the wall clock starts where it is told and can jump; the monotonic clock cannot", async () => {
  const environment = fakeEnvironment({ startAt: 1_000 });
  environment.jump(-500);
  await environment.advance(10);
  assert.equal(environment.clock.now(), 510);
  assert.equal(environment.clock.monotonic(), 10);
});

test("numbers and ids repeat from the seed and differ between seeds", () => {
  const draw = (seed: number): readonly (number | string)[] => {
    const environment = fakeEnvironment({ seed });
    return [environment.random(), environment.random(), environment.id(), environment.id()];
  };
  assert.deepEqual(draw(5), draw(5));
  assert.equal(new Set([...draw(5), ...draw(6)]).size, 8);
  const environment = fakeEnvironment();
  const numbers = Array.from({ length: 10_000 }, () => environment.random());
  const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
  assert.ok(numbers.every((number) => number >= 0 && number < 1) && Math.abs(mean - 0.5) < 0.02);
});

test("a sleep ends when its time has come or its signal aborts", async () => {
  const environment = fakeEnvironment();
  let woken = false;
  const sleeping = sleep(environment.timers, 1_000).then(() => (woken = true));
  await environment.advance(999);
  assert.equal(woken, false);
  await environment.advance(1);
  await sleeping;
});

test("a stalled environment runs nothing, and what it missed when it wakes", async () => {
  const environment = fakeEnvironment();
  const stalling = stallingEnvironment(environment);
  const rung: string[] = [];
  stalling.timers.set(() => void rung.push("timer"), 10);
  const cancelled = stalling.timers.set(() => void rung.push("cancelled"), 10);
  stalling.stall();
  stalling.timers.soon(() => void rung.push("soon"));
  await environment.advance(20);
  cancelled.cancel();
  assert.deepEqual(rung, []);
  stalling.wake();
  assert.deepEqual(rung, ["soon", "timer"]);
});

function bound() {
  const environment = fakeEnvironment();
  return {
    timers: environment.timers,
    clock: environment.clock,
    advance: (ms: number) => environment.advance(ms),
  };
}
