import type { FromActor, ToActor } from "./messages.ts";

/** What a process of a benchmark does. */
export interface Part {
  /** Does the round of `count` messages, and answers what it measured. What is done before the first await is done before the others begin. */
  round(count: number): Promise<unknown>;
  close(): Promise<void>;
}

/** Runs a part in this process, as the benchmark that forked it asks; ends when that one ends. */
export async function perform(open: (settings: never) => Promise<Part>): Promise<void> {
  const part = await open(JSON.parse(process.argv[2] ?? "{}") as never).catch((error: unknown) => {
    say({ say: "failed", error: textOf(error) });
    return process.exit(1);
  });
  const end = (): void => void part.close().finally(() => process.exit(0));
  process.on("disconnect", end);
  process.on("message", (message: ToActor) => {
    if (message.say === "end") end();
    else void round(part, message.count);
  });
  say({ say: "ready" });
}

async function round(part: Part, count: number): Promise<void> {
  const before = process.cpuUsage();
  try {
    const running = part.round(count);
    say({ say: "begun" });
    const result = await running;
    const { user, system } = process.cpuUsage(before);
    say({ say: "result", result, cpuSeconds: (user + system) / 1e6 });
  } catch (error) {
    say({ say: "failed", error: textOf(error) });
  }
}

/** One clock for all processes of the machine, in milliseconds. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** `lanes` loops share the numbers from 0 to `count`; each goes on when its own step is done. */
export async function inLanes(
  lanes: number,
  count: number,
  step: (number: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await step(next++);
  };
  await Promise.all(Array.from({ length: Math.min(lanes, count) }, lane));
}

function say(message: FromActor): void {
  if (process.connected) process.send?.(message);
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
