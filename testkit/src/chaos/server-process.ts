import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemEnvironment } from "@waybill/core";
import { reallyWait } from "../environment.ts";

export interface ServerProgram {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** As whom it runs: some servers refuse to be root. Default: as the test. */
  readonly user?: { readonly uid: number; readonly gid: number };
}

export interface ServerSpec {
  /** What to run for data in that folder, in order, all of it in the foreground; the last one is the server. */
  readonly programs: (directory: string) => readonly ServerProgram[];
  /** Whether a client is served. Rejecting counts as no. */
  readonly isReady: () => Promise<boolean>;
}

/** What ends a server at once, and in order, differs: PostgreSQL waits for its clients at SIGTERM, and not at SIGINT and SIGQUIT. */
type EndSignal = "SIGKILL" | "SIGTERM" | "SIGINT" | "SIGQUIT";

/** A cold and busy machine has taken more than a minute to start one. */
const readyMsMax = 180_000;
const endMsMax = 10_000;
const pollMs = 50;

/** A server of a test's own, on a port of its own, that dies on purpose and comes back with its data. Ends only what it started. */
export class ServerProcess implements AsyncDisposable {
  readonly #spec: ServerSpec;
  readonly #directory: string;
  readonly #programs: readonly ServerProgram[];
  readonly #children: ChildProcess[] = [];

  private constructor(spec: ServerSpec) {
    this.#spec = spec;
    this.#directory = mkdtempSync(join(tmpdir(), "waybill-server-"));
    this.#programs = spec.programs(this.#directory);
  }

  /** Resolves when it serves clients. */
  static async start(spec: ServerSpec): Promise<ServerProcess> {
    const server = new ServerProcess(spec);
    try {
      for (const program of server.#programs) server.#spawn(program);
      await server.#ready();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Ends it by that signal and starts it again on its data. Resolves when it serves clients. */
  async restart(signal: EndSignal): Promise<void> {
    const program = this.#programs.at(-1);
    const child = this.#children.pop();
    if (program === undefined || child === undefined) return;
    await end(child, signal);
    this.#spawn(program);
    await this.#ready();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children.splice(0).toReversed()) await end(child, "SIGKILL");
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 5 });
  }

  #spawn({ command, args, env, user }: ServerProgram): void {
    const output = openSync(join(this.#directory, "output.log"), "a");
    const child = spawn(command, args, {
      cwd: this.#directory,
      ...user,
      // oxlint-disable-next-line node/no-process-env -- handed on whole, so that a server finds what its shell would.
      env: { ...process.env, ...env },
      // In a group of its own: a server may be several processes.
      detached: true,
      stdio: ["ignore", output, output],
    });
    child.on("error", () => undefined);
    closeSync(output);
    this.#children.push(child);
  }

  async #ready(): Promise<void> {
    const { clock } = systemEnvironment;
    const until = clock.monotonic() + readyMsMax;
    while (!(await this.#spec.isReady().catch(() => false))) {
      if (clock.monotonic() > until) {
        const log = readFileSync(join(this.#directory, "output.log"), "utf8").slice(-2_000);
        throw new Error(`The server does not serve after ${readyMsMax} ms. It said:\n${log}`);
      }
      await reallyWait(pollMs);
    }
  }
}

async function end(child: ChildProcess, signal: EndSignal): Promise<void> {
  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
  if (child.pid === undefined) return;
  if (!isOver()) {
    const exited = once(child, "exit");
    process.kill(-child.pid, signal);
    await exited;
  }
  // The rest of the group may outlive its leader.
  const { clock } = systemEnvironment;
  const until = clock.monotonic() + endMsMax;
  while (isAlive(-child.pid) && clock.monotonic() < until) await reallyWait(pollMs);
}

function isAlive(group: number): boolean {
  try {
    return process.kill(group, 0);
  } catch {
    return false;
  }
}
