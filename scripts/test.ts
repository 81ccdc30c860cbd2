/**
 * Runs one kind of tests: `node scripts/test.ts <kind> [filter or glob …] [flags for node]`.
 *
 *   npm test                                   every unit test
 *   npm test -- core/src/rules                 files whose path contains this text
 *   npm test -- 'broker/src/**' --test-only    globs, and any flag of `node --test`
 */
import { spawn, spawnSync } from "node:child_process";
import { globSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, matchesGlob } from "node:path";
import { findChromium } from "./chromium.ts";
import { cacheDirectory, root, slashed, sourceCondition } from "./repository.ts";

interface Kind {
  /** The part of the file name before `.test.ts`; none for unit tests. */
  readonly suffix: string;
  /** For one test. */
  readonly timeoutMs: number;
  /** For all files together: a test that spins without yielding notices no timeout of its own. */
  readonly totalMs: number;
  /** How many files run at a time: tests that measure, kill or share a server run alone. */
  readonly concurrency: number;
  /** A kind that may still be empty says so and passes; unit tests may not be empty. */
  readonly mayBeEmpty: boolean;
}

const minuteMs = 60_000;
const cores = availableParallelism();

const kinds: Readonly<Record<string, Kind>> = {
  unit: {
    suffix: "",
    timeoutMs: minuteMs,
    totalMs: 15 * minuteMs,
    concurrency: cores,
    mayBeEmpty: false,
  },
  long: {
    suffix: ".long",
    timeoutMs: 20 * minuteMs,
    totalMs: 60 * minuteMs,
    concurrency: 1,
    mayBeEmpty: true,
  },
  brokers: {
    suffix: ".brokers",
    timeoutMs: 5 * minuteMs,
    totalMs: 20 * minuteMs,
    concurrency: 1,
    mayBeEmpty: true,
  },
  browser: {
    suffix: ".browser",
    timeoutMs: 5 * minuteMs,
    totalMs: 20 * minuteMs,
    concurrency: 1,
    mayBeEmpty: true,
  },
  pack: {
    suffix: ".pack",
    timeoutMs: 5 * minuteMs,
    totalMs: 20 * minuteMs,
    concurrency: 1,
    mayBeEmpty: false,
  },
};

const places = [
  "{contracts,core,testkit,broker,waybill,benchmarks}/src/**/*.test.ts",
  "{transports,channels,stores,codecs,wire,tools,examples}/*/src/**/*.test.ts",
  "scripts/**/*.test.ts",
];

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  const [name = "", ...rest] = args;
  const kind = kinds[name];
  if (kind === undefined) {
    console.error(`No tests of kind "${name}". Kinds: ${Object.keys(kinds).join(", ")}.`);
    return 2;
  }
  const flags = rest.filter((arg) => arg.startsWith("-"));
  const filters = rest.filter((arg) => !arg.startsWith("-"));
  const files = testFiles(kind.suffix).filter((file) => wanted(file, filters));
  if (files.length === 0) return nothingToRun(name, kind, filters);
  return run(files, kind, flags);
}

function testFiles(suffix: string): string[] {
  return globSync(places, { cwd: root, exclude: (path) => path.includes("node_modules") })
    .map(slashed)
    .filter((file) => kindSuffix(file) === suffix)
    .toSorted();
}

/** `broker/src/kill.long.test.ts` → `.long`; `core/src/rules.test.ts` → ``. */
function kindSuffix(file: string): string {
  const suffix = /(\.[a-z]+)\.test\.ts$/.exec(file)?.[1] ?? "";
  return Object.values(kinds).some((kind) => kind.suffix === suffix) ? suffix : "";
}

function wanted(file: string, filters: readonly string[]): boolean {
  if (filters.length === 0) return true;
  return filters.some((filter) => file.includes(filter) || matchesGlob(file, filter));
}

function nothingToRun(name: string, kind: Kind, filters: readonly string[]): number {
  if (filters.length > 0) {
    console.error(`No ${name} test matches ${filters.join(" ")}.`);
    return 1;
  }
  const message = `There are no ${name} tests yet (files named *${kind.suffix}.test.ts).`;
  if (kind.mayBeEmpty) console.log(`${message} Nothing ran.`);
  else console.error(message);
  return kind.mayBeEmpty ? 0 : 1;
}

async function run(
  files: readonly string[],
  kind: Kind,
  flags: readonly string[],
): Promise<number> {
  mkdirSync(cacheDirectory, { recursive: true });
  const countFile = join(cacheDirectory, `test-count-${process.pid}`);
  const status = await runNode(kind, [
    sourceCondition,
    "--test",
    `--test-concurrency=${kind.concurrency}`,
    `--test-timeout=${kind.timeoutMs}`,
    "--test-reporter=spec",
    "--test-reporter-destination=stdout",
    `--test-reporter=${new URL("test-count.ts", import.meta.url).href}`,
    `--test-reporter-destination=${countFile}`,
    ...flags,
    ...files,
  ]);
  const ran = readCount(countFile);
  if (status === 0 && ran === 0) {
    console.error("No test ran: every file was empty or every test was filtered out.");
    return 1;
  }
  return status;
}

/** Runs node in a process group of its own, so that a test that hangs ends with all that it started. */
function runNode(kind: Kind, args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, args, {
    cwd: root,
    detached: true,
    env: environment(kind),
    stdio: "inherit",
  });
  const signalGroup = (signal: NodeJS.Signals): void => {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  };
  const limit = setTimeout(() => {
    console.error(
      `The tests did not end within ${kind.totalMs / minuteMs} minutes. Still running:`,
    );
    console.error(runningTests(child.pid).join("\n"));
    signalGroup("SIGKILL");
  }, kind.totalMs);
  // The terminal's Ctrl-C reaches only its own group.
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.on(signal, () => signalGroup(signal));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => {
      clearTimeout(limit);
      resolve(code ?? 1);
    });
  });
}

function runningTests(group: number | undefined): readonly string[] {
  const { stdout } = spawnSync("ps", ["-A", "-o", "pgid=,args="], { encoding: "utf8" });
  const ofGroup = (stdout ?? "").split("\n").filter((line) => line.trim().startsWith(`${group} `));
  return [...new Set(ofGroup.flatMap((line) => /\S+\.test\.ts$/.exec(line) ?? []))];
}

/** Browser tests find their browser in CHROMIUM. */
function environment(kind: Kind): NodeJS.ProcessEnv {
  const browser = kind === kinds["browser"] ? findChromium() : undefined;
  return browser === undefined ? process.env : { ...process.env, CHROMIUM: browser };
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
