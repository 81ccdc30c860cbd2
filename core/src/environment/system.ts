import type { Environment, Timer } from "../ports/environment.ts";
import { machineClock } from "./machine.ts";

const machine = machineClock();

/** The machine's own clock, timers and randomness: the one file that may name them. */
export const systemEnvironment: Environment = {
  clock: {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    ...(machine !== undefined && { machine }),
  },
  timers: {
    set: (callback, delayMs) => {
      const dueAt = performance.now() + delayMs;
      // Node cuts fractions off and counts whole milliseconds of its own: by itself it fires up to two of them early.
      const ring = (): void => {
        const leftMs = dueAt - performance.now();
        if (leftMs > 0) timeout = after(leftMs, ring);
        else callback();
      };
      let timeout = after(delayMs, ring);
      return { cancel: () => clearTimeout(timeout) };
    },
    soon: (callback) => void setImmediate(callback),
  },
  keepAlive: () => {
    const interval = setInterval(() => undefined, delayMsMax);
    return { cancel: () => clearInterval(interval) };
  },
  watchLoop,
  random: () => Math.random(),
  // The global loads its module at the first call; an import of node:crypto costs every program 4 ms at start.
  id: () => crypto.randomUUID(),
};

/** setTimeout fires at once above 2^31 - 1. */
const delayMsMax = 2 ** 31 - 1;

function after(delayMs: number, callback: () => void): NodeJS.Timeout {
  return setTimeout(callback, Math.min(delayMs, delayMsMax)).unref();
}

/**
 * An interval that compares its own lateness: a tick that comes late waited for whatever held the loop. Node's histogram
 * (`monitorEventLoopDelay`) wakes as often, and does not say when a stall was.
 */
function watchLoop(everyMs: number, late: (lateMs: number) => void): Timer {
  let tickedAt = performance.now();
  const interval = setInterval(() => {
    const now = performance.now();
    const lateMs = now - tickedAt - everyMs;
    tickedAt = now;
    late(Math.max(0, lateMs));
  }, everyMs).unref();
  return { cancel: () => clearInterval(interval) };
}
