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
      const timeout = setTimeout(callback, Math.min(delayMs, delayMsMax)).unref();
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

/** setTimeout fires at once above 2^31 - 1; who waits longer sets the timer again. */
const delayMsMax = 2 ** 31 - 1;

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
