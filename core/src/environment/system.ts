import type { Environment } from "../ports/environment.ts";
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
  random: () => Math.random(),
  // The global loads its module at the first call; an import of node:crypto costs every program 4 ms at start.
  id: () => crypto.randomUUID(),
};

/** setTimeout fires at once above 2^31 - 1; who waits longer sets the timer again. */
const delayMsMax = 2 ** 31 - 1;
