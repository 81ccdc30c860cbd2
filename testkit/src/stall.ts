import type { Environment } from "@waybill/core";

/** An environment whose process can stop breathing: no timer rings and no `soon` runs until it wakes. */
export interface StallingEnvironment extends Environment {
  stall(): void;
  /** Runs what would have run meanwhile, in the order in which it was due. */
  wake(): void;
}

/** Wraps an environment, to play a process that hangs while brokers and other processes go on. */
export function stallingEnvironment(environment: Environment): StallingEnvironment {
  let stalled = false;
  const missed: (() => void)[] = [];
  const guard = (callback: () => void, isWanted: () => boolean) => (): void => {
    if (stalled) missed.push(() => isWanted() && callback());
    else callback();
  };
  return {
    clock: environment.clock,
    random: () => environment.random(),
    id: () => environment.id(),
    timers: {
      set: (callback, delayMs) => {
        let wanted = true;
        const timer = environment.timers.set(
          guard(callback, () => wanted),
          delayMs,
        );
        return {
          cancel: () => {
            wanted = false;
            timer.cancel();
          },
        };
      },
      soon: (callback) => environment.timers.soon(guard(callback, () => true)),
    },
    stall: () => {
      stalled = true;
    },
    wake: () => {
      stalled = false;
      for (const callback of missed.splice(0)) callback();
    },
  };
}
