/** Runs files of tests: each lane one file after another, several lanes at the same time. */
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cacheDirectory, root, sourceCondition } from "./repository.ts";

export interface Limits {
  /** For one test. */
  readonly timeoutMs: number;
  /** For all files together: a test that spins without yielding notices no timeout of its own. */
  readonly totalMs: number;
  /** How many files run at a time. */
  readonly concurrency: number;
  /**
   * Files of one lane never run at the same time, and those of `alone` beside no other. Without it one process of node runs all files,
   * and shows what happens while it happens.
   */
  readonly laneOf?: (file: string) => string;
}

export interface Selection {
  readonly files: readonly string[];
  /** For `node --test`. */
  readonly flags: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

export const alone = "alone";

interface Ended {
  readonly file: string;
  readonly seconds: number;
  readonly status: number;
  readonly said: string;
}

const minuteMs = 60_000;
/** Of each file that failed. */
const failureLines = 60;
/** How long what a process said may take to arrive after its end. */
const lastWordsMs = 5_000;

/** Answers the status to exit with. */
export async function runTests(selection: Selection, limits: Limits): Promise<number> {
  mkdirSync(cacheDirectory, { recursive: true });
  using processes = new Processes(selection, limits);
  const { files } = selection;
  const { laneOf } = limits;
  const status =
    laneOf === undefined || files.length === 1
      ? await processes.run(files)
      : await runLanes(processes, Map.groupBy(files, laneOf), limits.concurrency);
  if (status === 0 && processes.ran === 0) {
    console.error("No test ran: every file was empty or every test was filtered out.");
    return 1;
  }
  return status;
}

async function runLanes(
  processes: Processes,
  lanes: ReadonlyMap<string, readonly string[]>,
  concurrency: number,
): Promise<number> {
  const ended: Ended[] = [];
  const began = performance.now();
  const run = async (files: readonly string[]): Promise<void> => {
    for (const file of files) ended.push(await runFile(processes, file));
  };
  // The longest first: what is begun last should not be what takes longest.
  const left = [...lanes]
    .filter(([name]) => name !== alone)
    .toSorted(([, one], [, other]) => other.length - one.length)
    .values();
  const next = async (): Promise<void> => {
    for (const [, files] of left) await run(files);
  };
  await Promise.all(Array.from({ length: concurrency }, next));
  await run(lanes.get(alone) ?? []);
  const failed = ended.filter(({ status }) => status !== 0);
  console.log(`\nSeconds by file, ${secondsSince(began).toFixed(0)} in all:`);
  for (const { seconds, status, file } of ended.toSorted((a, b) => b.seconds - a.seconds))
    console.log(
      `${seconds.toFixed(1).padStart(7)}  ${status === 0 ? "      " : "FAILED"}  ${file}`,
    );
  // Where thousands of lines went by, what failed stands at the end.
  for (const { file, said } of failed) console.log(`\n── ${file}\n${whatFailed(said)}`);
  console.log(`${processes.ran} tests in ${ended.length} files; ${failed.length} files failed.`);
  return failed.length === 0 ? 0 : 1;
}

/** What node says of the tests that failed, or its last words where it did not come to that. */
function whatFailed(said: string): string {
  const lines = said.trimEnd().split("\n");
  const at = lines.lastIndexOf("✖ failing tests:");
  return (at === -1 ? lines.slice(-failureLines) : lines.slice(at + 1, at + 1 + failureLines))
    .join("\n")
    .trim();
}

/** Shows what a file said when it has ended: others run at the same time. */
async function runFile(processes: Processes, file: string): Promise<Ended> {
  const began = performance.now();
  let said = "";
  const status = await processes.run([file], (text) => (said += text));
  const seconds = secondsSince(began);
  console.log(`\n── ${file} (${seconds.toFixed(1)} s)\n${said.trimEnd()}`);
  return { file, seconds, status, said };
}

function secondsSince(began: number): number {
  return (performance.now() - began) / 1_000;
}

/** Processes of node that run tests, each in a group of its own, so that a test that hangs ends with all that it started. */
class Processes implements Disposable {
  readonly #selection: Selection;
  readonly #limits: Limits;
  readonly #groups = new Set<number>();
  readonly #limit: NodeJS.Timeout;
  #started = 0;
  #isOver = false;
  /** Tests that ran. */
  ran = 0;

  constructor(selection: Selection, limits: Limits) {
    this.#selection = selection;
    this.#limits = limits;
    this.#limit = setTimeout(() => this.#tooLate(), limits.totalMs);
    // The terminal's Ctrl-C reaches only its own group.
    for (const signal of ["SIGINT", "SIGTERM"] as const)
      process.on(signal, () => this.#end(signal));
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#limit);
  }

  /** Answers the exit code. What is said goes to `hear`, or where this process's own goes. */
  async run(files: readonly string[], hear?: (text: string) => void): Promise<number> {
    if (this.#isOver) return 1;
    const countFile = join(cacheDirectory, `test-count-${process.pid}-${++this.#started}`);
    const { concurrency, timeoutMs } = this.#limits;
    const child = spawn(
      process.execPath,
      [
        sourceCondition,
        "--test",
        `--test-concurrency=${concurrency}`,
        `--test-timeout=${timeoutMs}`,
        "--test-reporter=spec",
        "--test-reporter-destination=stdout",
        `--test-reporter=${new URL("test-count.ts", import.meta.url).href}`,
        `--test-reporter-destination=${countFile}`,
        ...this.#selection.flags,
        ...files,
      ],
      {
        cwd: root,
        detached: true,
        env: this.#selection.env,
        stdio: hear === undefined ? "inherit" : ["ignore", "pipe", "pipe"],
      },
    );
    const { pid } = child;
    if (pid !== undefined) this.#groups.add(pid);
    if (hear !== undefined)
      for (const stream of [child.stdout, child.stderr])
        stream?.setEncoding("utf8").on("data", hear);
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
      // What a test left running may hold the pipes open.
      child.once("exit", (exitCode) => setTimeout(resolve, lastWordsMs, exitCode).unref());
    });
    if (pid !== undefined) this.#groups.delete(pid);
    this.ran += readCount(countFile);
    return code ?? 1;
  }

  #tooLate(): void {
    const minutes = this.#limits.totalMs / minuteMs;
    console.error(`The tests did not end within ${minutes} minutes. Still running:`);
    console.error([...this.#groups].flatMap(runningTests).join("\n"));
    this.#end("SIGKILL");
  }

  #end(signal: NodeJS.Signals): void {
    this.#isOver = true;
    for (const group of this.#groups) process.kill(-group, signal);
  }
}

function runningTests(group: number): readonly string[] {
  const { stdout } = spawnSync("ps", ["-A", "-o", "pgid=,args="], { encoding: "utf8" });
  const ofGroup = (stdout ?? "").split("\n").filter((line) => line.trim().startsWith(`${group} `));
  return [...new Set(ofGroup.flatMap((line) => /\S+\.test\.ts$/.exec(line) ?? []))];
}

function readCount(file: string): number {
  try {
    return Number(readFileSync(file, "utf8"));
  } catch {
    return 0;
  } finally {
    rmSync(file, { force: true });
  }
}
