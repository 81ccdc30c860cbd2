/**
 * Runs the suites that prove every transport and writes what came of it to `docs/transports.md` and `docs/failures.md`:
 * `node scripts/suite-tables.ts`, or with `--check` fails when the files do not say what the run says.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CaseResult, FailureResults, SuiteResults } from "@waybill/testkit";
import { cacheDirectory, root, sourceCondition } from "./repository.ts";

/** Each file calls a suite for one transport. Those of brokers join when their servers listen. */
const suiteFiles = [
  "testkit/src/memory.test.ts",
  "testkit/src/failures.test.ts",
  "broker/src/transport.test.ts",
  "broker/src/failures.test.ts",
];
const timeoutMs = 300_000;

process.exitCode = main(process.argv.includes("--check"));

function main(check: boolean): number {
  const results = runSuites();
  if (results === undefined) return 1;
  const { suites, failures } = results;
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

function runSuites():
  | { suites: readonly SuiteResults[]; failures: readonly FailureResults[] }
  | undefined {
  const directory = join(cacheDirectory, "suites");
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const { status } = spawnSync(
    process.execPath,
    [sourceCondition, "--test", "--test-reporter=dot", ...suiteFiles],
    {
      cwd: root,
      env: { ...process.env, WAYBILL_SUITE_RESULTS: directory },
      stdio: "inherit",
      timeout: timeoutMs,
    },
  );
  if (status !== 0) {
    console.error("A suite failed, so there is nothing to publish.");
    return undefined;
  }
  const names = readdirSync(directory).toSorted((a, b) => a.localeCompare(b));
  const [failures, suites] = [true, false].map((ofFailures) =>
    names
      .filter((name) => name.endsWith(".failures.json") === ofFailures)
      .map((name): unknown => JSON.parse(readFileSync(join(directory, name), "utf8"))),
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
    "Written by `npm run tables`, from a run of `transportSuite()` on each. ✓ passed; — does not apply, with the reason below the table.",
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
    "in `testkit/src/failures/`; ✓ says that it passed there.",
    "",
    table(
      ["Test", "What goes wrong", "What happens", ...failures.map(({ transport }) => transport)],
      rows,
    ),
    "",
    "Processes killed with `kill -9` and stopped with SIGTERM under load, hundreds of times, are a test of their own: `broker/src/chaos.long.test.ts`, run by `npm run test:long`.",
    "",
  ].join("\n");
}

function mark(cases: readonly CaseResult[], id: string): string {
  const outcome = cases.find((each) => each.id === id)?.outcome;
  return outcome === "passed" ? "✓" : outcome === "skipped" ? "—" : "✗";
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function valueText(value: unknown): string {
  if (value === true) return "yes";
  if (value === false) return "no";
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.join(", ");
  return typeof value === "number" ? value.toLocaleString("en") : String(value);
}
