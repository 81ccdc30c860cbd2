import { type ChildProcess, fork } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { sleep, systemEnvironment } from "waybill";
import type { Ready } from "./run.ts";

export interface SupervisedOptions {
  /** Tells it apart from other processes of the same service. */
  readonly name: string;
  readonly service: string;
  readonly directory: string;
  /** Arguments for the next start; asked each time. */
  readonly args: () => readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly log: (line: string) => void;
}

const { clock, timers } = systemEnvironment;
const backoffMs = { first: 200, longest: 5_000 };
/** Who lived so long was not started in vain: the next pause is the first again. */
const healthyAfterMs = 10_000;

/** One service as a child process, started again whenever it dies. */
export class Supervised {
  readonly #options: SupervisedOptions;
  readonly #stopping = new AbortController();
  #child: ChildProcess | undefined;
  #pauseMs = backoffMs.first;
  #ended: Promise<void> = Promise.resolve();

  constructor(options: SupervisedOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  /** Of the process that runs now. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves when the service is ready. Rejects when its first process ends before that. */
  start(): Promise<Ready> {
    return new Promise((resolve, reject) => {
      this.#ended = this.#keepRunning(resolve).catch(reject);
    });
  }

  /** Ends it as if its machine had lost power. It is started again. */
  kill(): void {
    this.#child?.kill("SIGKILL");
  }

  /** Asks the process to end in order, by ending the line to it, and ends it by force after the deadline. */
  async stop(deadlineMs: number): Promise<void> {
    this.#stopping.abort();
    if (this.#child?.connected === true) this.#child.disconnect();
    const force = timers.set(() => {
      this.#options.log(`${this.name} did not end within ${deadlineMs} ms and is killed.`);
      this.kill();
    }, deadlineMs);
    await this.#ended;
    force.cancel();
  }

  async #keepRunning(onReady: (ready: Ready) => void): Promise<void> {
    const { log } = this.#options;
    let wasReady = false;
    while (!this.#stopping.signal.aborted) {
      const startedAt = clock.monotonic();
      const child = this.#fork();
      child.once("message", (ready: Ready) => {
        wasReady = true;
        log(`${this.name.padEnd(14)} pid ${child.pid}`);
        onReady(ready);
      });
      const how = await ending(child);
      if (this.#stopping.signal.aborted) return;
      if (!wasReady) throw new Error(`${this.name} could not start: it ended with ${how}.`);
      if (clock.monotonic() - startedAt > healthyAfterMs) this.#pauseMs = backoffMs.first;
      log(
        `${this.name} (pid ${child.pid}) ended with ${how}; it starts again in ${this.#pauseMs} ms.`,
      );
      await sleep(timers, this.#pauseMs, this.#stopping.signal).catch(() => undefined);
      this.#pauseMs = Math.min(this.#pauseMs * 2, backoffMs.longest);
    }
  }

  #fork(): ChildProcess {
    const { service, directory, args, env, log } = this.#options;
    const child = fork(
      new URL("run.ts", import.meta.url),
      [service, "--data", directory, ...args()],
      {
        execArgv: ["--conditions=@waybill/source"],
        env: { ...process.env, ...env },
        stdio: ["ignore", "pipe", "pipe", "ipc"],
        // In a group of its own: Ctrl-C is for the shop, which then ends its services in order.
        detached: process.platform !== "win32",
      },
    );
    for (const output of [child.stdout, child.stderr]) {
      createInterface({ input: output as Readable }).on("line", (line) =>
        log(`${this.name}: ${line}`),
      );
    }
    this.#child = child;
    return child;
  }
}

function ending(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(signal ?? `code ${code}`));
  });
}
