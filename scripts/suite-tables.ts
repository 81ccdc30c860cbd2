/**
 * Runs the suites that prove every transport and writes what came of it to `docs/transports.md` and `docs/failures.md`:
 * `node scripts/suite-tables.ts`, or with `--check` fails when the files do not say what the run says. `--results DIRECTORY` takes what `npm test` left there
 * with WAYBILL_SUITE_RESULTS set, instead of running them again. What brokers with a server of their own did is
 * kept in `docs/suites/` and only run again with `--brokers`, so that a machine without them has the same tables.
 */
import { spawnSync } from "node:child_process";
import { globSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { CaseResult, FailureResults, SuiteResults } from "@waybill/testkit";
import { cacheDirectory, root, sourceCondition } from "./repository.ts";

/** Each file calls a suite for one transport. */
const suiteFiles = [
  "testkit/src/memory.test.ts",
  "testkit/src/failures.test.ts",
  "broker/src/transport.test.ts",
  "broker/src/failures.test.ts",
];
const timeoutMs = 900_000;
const keptDirectory = join(root, "docs/suites");

const { values } = parseArgs({
  options: {
    check: { type: "boolean", default: false },
    brokers: { type: "boolean", default: false },
    results: { type: "string" },
  },
});
process.exitCode = main(values.check);

function main(check: boolean): number {
  const directory = values.results ?? join(cacheDirectory, "suites");
  if (values.results === undefined) {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    if (!run(suiteFiles, directory)) return 1;
  }
  if (values.brokers) {
    const files = globSync("transports/*/src/{transport,failures}.brokers.test.ts", { cwd: root });
    if (!run(files, keptDirectory)) return 1;
  }
  const { suites, failures } = resultsIn([directory, keptDirectory]);
  const pages: readonly (readonly [string, string])[] = [
    ["docs/transports.md", transportsPage(suites)],
    ["docs/failures.md", failuresPage(failures)],
  ];
  let stale = 0;
  for (const [path, text] of pages) {
    const file = join(root, path);
    if (!check) writeFileSync(file, text);
    else if (readFileSync(file, "utf8") !== text) {
      stale += 1;
      console.error(`${path} does not say what the suites say. Run: npm run tables`);
    } else console.log(`${path} says what the suites say.`);
  }
  return stale === 0 ? 0 : 1;
}

/** One file after another for servers that all share. */
function run(files: readonly string[], directory: string): boolean {
  const one = directory === keptDirectory ? ["--test-concurrency=1"] : [];
  const { status } = spawnSync(
    process.execPath,
    [sourceCondition, "--test", "--test-reporter=dot", ...one, ...files],
    {
      cwd: root,
      env: { ...process.env, WAYBILL_SUITE_RESULTS: directory },
      stdio: "inherit",
      timeout: timeoutMs,
    },
  );
  if (status !== 0) console.error("A suite failed, so there is nothing to publish.");
  return status === 0;
}

function resultsIn(directories: readonly string[]): {
  suites: readonly SuiteResults[];
  failures: readonly FailureResults[];
} {
  const paths = directories.flatMap((directory) =>
    readdirSync(directory)
      .toSorted((a, b) => a.localeCompare(b))
      .map((name) => join(directory, name)),
  );
  const [failures, suites] = [true, false].map((ofFailures) =>
    paths
      .filter((path) => path.endsWith(".failures.json") === ofFailures)
      .map((path): unknown => JSON.parse(readFileSync(path, "utf8"))),
  );
  return { suites: suites as SuiteResults[], failures: failures as FailureResults[] };
}

function transportsPage(suites: readonly SuiteResults[]): string {
  const names = suites.map(({ transport }) => transport);
  const first = suites[0];
  if (first === undefined) throw new Error("no suite left a result");
  const capabilities = Object.keys(first.capabilities) as (keyof SuiteResults["capabilities"])[];
  return [
    "# Transports",
    "",
    "Written by `npm run tables`, from a run of `transportSuite()` on each. ✓ passed; — does not apply, with the reason below the table;",
    "· has not run yet. The columns of brokers with a server are of the last `npm run tables -- --brokers`, kept in `docs/suites/`.",
    "",
    "## What each can do",
    "",
    table(
      ["Capability", ...names],
      capabilities.map((name) => [
        `\`${name}\``,
        ...suites.map((suite) => valueText(suite.capabilities[name])),
      ]),
    ),
    "",
    "What the words mean stands at `Capabilities` in `core/src/ports/transport.ts`.",
    "",
    `## What each was seen to do: ${first.cases.length} cases`,
    "",
    table(
      ["Case", "What every transport must do", ...names],
      first.cases.map(({ id, title }) => [
        `\`${id}\``,
        title,
        ...suites.map(({ cases }) => mark(cases, id)),
      ]),
    ),
    "",
    ...skipped(suites),
  ].join("\n");
}

function skipped(suites: readonly SuiteResults[]): readonly string[] {
  const lines = suites.flatMap(({ transport, cases }) =>
    cases
      .filter(({ outcome }) => outcome === "skipped")
      .map(({ id, reason }) => `- ${transport}, \`${id}\`: ${reason}.`),
  );
  return lines.length === 0 ? ["No case was skipped.", ""] : ["Skipped:", "", ...lines, ""];
}

function failuresPage(failures: readonly FailureResults[]): string {
  const first = failures[0];
  if (first === undefined) throw new Error("no failure suite left a result");
  const rows = first.cases.map(({ id, title, then }) => [
    `\`${id}\``,
    title,
    then,
    ...failures.map(({ cases }) => mark(cases, id)),
  ]);
  return [
    "# What happens on failure",
    "",
    "Written by `npm run tables`, from a run of `failureSuite()` on each transport, through the whole of `connect()`. Each row is a test of that name",
    "in `testkit/src/failures/`; ✓ says that it passed there, — that the transport cannot do what it is about, · that it has not run yet.",
    "",
    table(
      ["Test", "What goes wrong", "What happens", ...failures.map(({ transport }) => transport)],
      rows,
    ),
    "",
    "Processes killed with `kill -9` and stopped with SIGTERM under load, hundreds of times, are a test of their own: `broker/src/proof/chaos.long.test.ts`, run by `npm run test:long`.",
    "",
  ].join("\n");
}

function mark(cases: readonly CaseResult[], id: string): string {
  const outcome = cases.find((each) => each.id === id)?.outcome;
  if (outcome === undefined) return "·";
  return outcome === "passed" ? "✓" : outcome === "skipped" ? "—" : "✗";
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function valueText(value: unknown): string {
  if (value === undefined) return "·";
  if (value === true) return "yes";
  if (value === false) return "no";
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.join(", ");
  return typeof value === "number" ? value.toLocaleString("en") : JSON.stringify(value);
}
