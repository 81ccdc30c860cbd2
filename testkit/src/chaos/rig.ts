import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";

export interface WorkerSpec {
  readonly role: string;
  readonly script: string;
  readonly args: readonly string[];
}

/** Processes of a test that die on purpose and come back. Ends only what it started. */
export class ProcessRig implements AsyncDisposable {
  readonly #workers: Worker[] = [];
  #generation = 0;

  /** Starts a worker and resolves when it says that it is ready, by `process.send("ready")`. */
  async start(spec: WorkerSpec): Promise<void> {
    const worker: Worker = { spec, child: await this.#spawn(spec) };
    this.#workers.push(worker);
  }

  /** Sends the signal to the worker at `index`, waits for its end and starts the next one in its place. Answers its exit code; null after a kill. */
  async replace(index: number, signal: "SIGKILL" | "SIGTERM"): Promise<number | null> {
    const worker = this.#workers[index];
    if (worker === undefined)
      throw new RangeError(`the rig has ${this.#workers.length} workers, none at ${index}`);
    const code = await end(worker.child, signal);
    worker.child = await this.#spawn(worker.spec);
    return code;
  }

  /** Sends the signal to every worker of the role, and waits until they have ended. Answers their exit codes. */
  async stop(role: string, signal: "SIGKILL" | "SIGTERM"): Promise<readonly (number | null)[]> {
    const stopped = this.#workers.filter(({ spec }) => spec.role === role);
    for (const worker of stopped) this.#workers.splice(this.#workers.indexOf(worker), 1);
    return Promise.all(stopped.map(({ child }) => end(child, signal)));
  }

  get size(): number {
    return this.#workers.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.splice(0).map(({ child }) => end(child, "SIGKILL")));
  }

  async #spawn({ script, args }: WorkerSpec): Promise<ChildProcess> {
    // Each process of the rig gets a number of its own, so that its messages and its ledger have theirs.
    const child = fork(script, [...args, String(++this.#generation)], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const ready = await Promise.race([
      once(child, "message").then(() => true),
      once(child, "exit").then(() => false),
    ]);
    if (!ready)
      throw new Error(
        `${script} ended with ${child.exitCode ?? child.signalCode} before it was ready; its output stands above.`,
      );
    return child;
  }
}

interface Worker {
  readonly spec: WorkerSpec;
  child: ChildProcess;
}

async function end(child: ChildProcess, signal: "SIGKILL" | "SIGTERM"): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const ended = once(child, "exit");
  child.kill(signal);
  await ended;
  return child.exitCode;
}
