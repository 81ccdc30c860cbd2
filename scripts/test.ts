/**
 * Runs one kind of tests: `node scripts/test.ts <kind> [filter or glob …] [flags for node]`.
 *
 *   npm test                                   every unit test
 *   npm test -- core/src/rules                 files whose path contains this text
 *   npm test -- 'broker/src/**' --test-only    globs, and any flag of `node --test`
 */
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { matchesGlob } from "node:path";
import { findChromium } from "./chromium.ts";
import { root, slashed } from "./repository.ts";
import { type Limits, alone, runTests } from "./test-run.ts";
import { fullSizes } from "./test-sizes.ts";

interface Kind extends Limits {
  /** The part of the file name before `.test.ts`; none for unit tests. */
  readonly suffix: string;
  /** A kind that may still be empty says so and passes; unit tests may not be empty. */
  readonly mayBeEmpty: boolean;
  /** What its tests find in their environment, unless it is set already. */
  readonly env?: () => NodeJS.ProcessEnv;
}

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const cores = availableParallelism();
/** Long tests that take the whole machine and hold what they see against time, such as locks that must not run out. */
const loading = /\/(chaos|load|planted)\.long\.test\.ts$/;

const kinds: Readonly<Record<string, Kind>> = {
  unit: {
    suffix: "",
    // None takes a minute; on a machine that is busy with others it may.
    timeoutMs: 3 * minuteMs,
    totalMs: 15 * minuteMs,
    concurrency: cores,
    mayBeEmpty: false,
  },
  long: {
    suffix: ".long",
    timeoutMs: 10 * minuteMs,
    totalMs: 25 * minuteMs,
    concurrency: cores,
    laneOf: (file) => (loading.test(file) ? alone : file),
    mayBeEmpty: true,
  },
  // The same tests at their full sizes: a file may take hours.
  full: {
    suffix: ".long",
    timeoutMs: 8 * hourMs,
    totalMs: 24 * hourMs,
    concurrency: cores,
    laneOf: (file) => (loading.test(file) ? alone : file),
    mayBeEmpty: true,
    env: () => fullSizes,
  },
  brokers: {
    suffix: ".brokers",
    timeoutMs: 5 * minuteMs,
    totalMs: 20 * minuteMs,
    concurrency: 3,
    laneOf: roomOf,
    mayBeEmpty: true,
  },
  browser: {
    suffix: ".browser",
    timeoutMs: 5 * minuteMs,
    totalMs: 20 * minuteMs,
    concurrency: 1,
    mayBeEmpty: true,
    env: () => ({ CHROMIUM: findChromium() }),
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
  "{transports,channels,captures,stores,codecs,wire,tools,examples}/*/src/**/*.test.ts",
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
  const env = { ...kind.env?.(), ...process.env };
  return runTests({ files, flags, env }, kind);
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

/** `transports/nats/src/bus.brokers.test.ts` → `transports/nats`: each room has a server of its own. */
function roomOf(file: string): string {
  return file.slice(0, file.indexOf("/src/"));
}
