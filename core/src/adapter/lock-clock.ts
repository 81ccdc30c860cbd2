import type { Clock, MachineClock } from "../ports/environment.ts";

/** Stands in a file where processes have no clock of the machine. */
const noBoot = "wall-clock";

/**
 * The clock of locks, leases and heartbeats: one for all processes on a machine, and untouched when somebody sets the wall clock.
 * Where the platform has no such clock it is the wall clock, whose jumps then lengthen or shorten locks.
 */
export function lockClockOf(clock: Clock): MachineClock {
  return clock.machine ?? { boot: noBoot, now: () => clock.now() };
}
