import { type ChildProcess, fork } from "node:child_process";
import { type Feed, type Schema, feed } from "@waybill/contracts";
import { type FeedContext, connect, service } from "@waybill/core";
import { embedded } from "./index.ts";

const Whole: Schema<number> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) =>
      Number.isSafeInteger(value) ? { value: value as number } : { issues: [{ message: "no" }] },
  },
};

/** Whole numbers up to the input, one every 20 milliseconds. */
export const Count: Feed<"numbers.count", number, number, never, number> = feed("numbers.count", {
  input: Whole,
  item: Whole,
  resume: { cursor: Whole, of: (item) => item },
});

/** Starts a process that serves `Count`. It says "ready", and where each of its feeds begins. */
export function startFeedServer(directory: string): ChildProcess {
  return fork(import.meta.filename, [directory], {
    execArgv: ["--conditions=@waybill/source"],
    stdio: "inherit",
  });
}

async function serve(directory: string): Promise<void> {
  const say = (word: unknown): void => void process.send?.(word);
  const numbers = service("numbers").serve(
    Count,
    async function* (most, context: FeedContext<unknown, never, number>) {
      say(`begins after ${context.resumeFrom ?? "nothing"}`);
      for (let next = (context.resumeFrom ?? -1) + 1; next < most; next++) {
        yield next;
        await context.sleep(20);
      }
    },
  );
  await connect({ transport: embedded({ directory }), services: [numbers] });
  // By itself and from here, where no transaction is open: suspended inside of one it would lock everybody out.
  process.on("message", () => process.kill(process.pid, "SIGSTOP"));
  process.on("disconnect", () => process.exit());
  say("ready");
}

if (process.argv[1] === import.meta.filename) await serve(process.argv[2] ?? "");
