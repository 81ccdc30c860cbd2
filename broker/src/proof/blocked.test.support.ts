import { type ChildProcess, fork } from "node:child_process";
import { type Command, type Event, type Schema, command, event } from "@waybill/contracts";
import { type Health, connect, service } from "@waybill/core";
import { embedded } from "../index.ts";

function anything<Value>(): Schema<Value> {
  const validate = (value: unknown): { value: Value } => ({ value: value as Value });
  return { "~standard": { version: 1, vendor: "test", validate } };
}

export const Compute: Command<"jobs.compute", { id: string }> = command("jobs.compute", {
  input: anything<{ id: string }>(),
});
export const Computed: Event<"jobs.computed", { by: string }> = event("jobs.computed", {
  payload: anything<{ by: string }>(),
});

export const lockMs: number = 1_000;
const blockMs = 4_000;

/** What the blocked process has to say. */
export type Word =
  | { readonly kind: "begun" }
  | {
      readonly kind: "ended";
      /** After the handler let go of the loop, the time until its signal was aborted. */
      readonly abortedAfterMs: number;
      readonly reason: unknown;
    }
  | { readonly kind: "settled"; readonly health: Health; readonly warnings: readonly string[] };

export function startBlocked(directory: string): ChildProcess {
  return fork(import.meta.filename, [directory], {
    execArgv: ["--conditions=@waybill/source"],
    stdio: "inherit",
  });
}

function say(word: Word): void {
  process.send?.(word);
}

/** Handles one message and blocks its event loop meanwhile, for longer than its lock. */
async function work(directory: string): Promise<void> {
  const warnings: string[] = [];
  const logger = {
    debug() {},
    info() {},
    warn: (text: string) => void warnings.push(text),
    error() {},
  };
  const jobs = service("jobs", { publishes: [Computed] }).handle(
    Compute,
    async (_job, context) => {
      await context.publish(Computed, { by: "blocked" });
      const { signal } = context;
      say({ kind: "begun" });
      await new Promise((resolve) => setTimeout(resolve, 50)); // so that the word has left
      const blockedUntil = performance.now() + blockMs;
      while (performance.now() < blockedUntil);
      const freeAt = performance.now();
      if (!signal.aborted)
        await new Promise((resolve) => {
          signal.addEventListener("abort", resolve, { once: true });
          setTimeout(resolve, 3_000);
        });
      const reason: unknown = signal.aborted ? (signal.reason as { code?: unknown }).code : "none";
      say({ kind: "ended", abortedAfterMs: performance.now() - freeAt, reason });
    },
    { lockMs, concurrency: 1 },
  );
  await using bus = await connect({
    transport: embedded({ directory }),
    services: [jobs],
    logger,
  });
  process.on("disconnect", () => process.exit());
  for (;;) {
    const health = await bus.health();
    const { lockLost = 0, handled = 0 } = health.contracts[Compute.name] ?? {};
    if (lockLost + handled > 0) {
      say({ kind: "settled", health, warnings });
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await new Promise(() => undefined);
}

if (process.argv[1] === import.meta.filename) await work(process.argv[2] ?? "");
