import { readFileSync } from "node:fs";
import type { MachineClock } from "../ports/environment.ts";

/**
 * Linux names each boot and counts the time since it the same for every process. Undefined elsewhere: other systems
 * have such a clock too, but nothing that a process may read tells their boots apart.
 */
export function machineClock(): MachineClock | undefined {
  if (process.platform !== "linux") return undefined;
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    if (boot === "") return undefined;
    const offsetMs = namespaceOffsetMs();
    return {
      boot,
      now: () => {
        const [seconds, nanoseconds] = process.hrtime();
        return seconds * 1_000 + nanoseconds / 1e6 - offsetMs;
      },
    };
  } catch {
    // No /proc in this sandbox.
    return undefined;
  }
}

/** A container may have been given a monotonic clock that is set off against its machine's. */
function namespaceOffsetMs(): number {
  let offsets: string;
  try {
    offsets = readFileSync("/proc/self/timens_offsets", "utf8");
  } catch {
    // A kernel without time namespaces.
    return 0;
  }
  const [, seconds = "0", nanoseconds = "0"] =
    /^monotonic\s+(-?\d+)\s+(-?\d+)/m.exec(offsets) ?? [];
  return Number(seconds) * 1_000 + Number(nanoseconds) / 1e6;
}
