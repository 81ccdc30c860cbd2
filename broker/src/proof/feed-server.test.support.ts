import { type ChildProcess, fork } from "node:child_process";
import { type Feed, type Schema, feed } from "@waybill/contracts";
import { type FeedContext, connect, service } from "@waybill/core";
import { silent } from "../fixture.test.support.ts";
import { embedded } from "../index.ts";

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
  return start("serve", directory);
}

/** Starts a process that reads `Count` up to that number. It says "ready", and then each item. */
export function startFeedReader(directory: string, count: number): ChildProcess {
  return start("read", directory, String(count));
}

function start(...args: readonly string[]): ChildProcess {
  return fork(import.meta.filename, args, {
    execArgv: ["--conditions=@waybill/source"],
    stdio: "inherit",
  });
}

async function serve(directory: string): Promise<void> {
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
  say("ready");
}

async function read(directory: string, count: number): Promise<void> {
  const reader = service("reader", { opens: [Count] });
  const bus = await connect({
    transport: embedded({ directory }),
    services: [reader],
    logger: silent,
  });
  say("ready");
  for await (const item of bus.open(Count, count)) say(item);
}

function say(word: unknown): void {
  process.send?.(word);
}

if (process.argv[1] === import.meta.filename) {
  // By itself and from here, where no transaction is open: suspended inside of one it would lock everybody out.
  process.on("message", () => process.kill(process.pid, "SIGSTOP"));
  process.on("disconnect", () => process.exit());
  const [role, directory = "", count] = process.argv.slice(2);
  await (role === "read" ? read(directory, Number(count)) : serve(directory));
}
