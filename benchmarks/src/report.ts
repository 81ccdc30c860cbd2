import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type Bar, type Row, verdictOf } from "./benchmark.ts";
import type { Machine } from "./machine.ts";
import type { Versions } from "./versions.ts";

export interface Report {
  readonly date: string;
  readonly machine: Machine;
  readonly versions: Versions;
  readonly runs: number;
  readonly quick: boolean;
  readonly rows: readonly Row[];
}

const folder = new URL("../results/", import.meta.url);
const baselineFile = new URL("baseline.json", folder);

/** Cells of the table, the first row its head. */
export function tableOf(
  rows: readonly Row[],
  baseline: Report | undefined,
): readonly (readonly string[])[] {
  const before = new Map(baseline?.rows.map(({ name, value }) => [name, value]));
  return [
    ["what", "value", "unit", "bar", "verdict", "baseline", "note"],
    ...rows.map((row) => [
      row.name,
      numberText(row.value),
      row.unit,
      barText(row.bar),
      verdictOf(row),
      changeText(row.value, before.get(row.name)),
      row.note ?? "",
    ]),
  ];
}

/** For the terminal: figures to the right, words to the left. */
export function aligned(table: readonly (readonly string[])[]): string {
  const widths = (table[0] ?? []).map((_, column) =>
    Math.max(...table.map((cells) => cells[column]?.length ?? 0)),
  );
  const isFigure = new Set(["value", "bar", "baseline"].map((name) => table[0]?.indexOf(name)));
  return table
    .map((cells) =>
      cells
        .map((cell, column) =>
          isFigure.has(column)
            ? cell.padStart(widths[column] ?? 0)
            : cell.padEnd(widths[column] ?? 0),
        )
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

export function readBaseline(): Report | undefined {
  try {
    return JSON.parse(readFileSync(baselineFile, "utf8")) as Report;
  } catch {
    return undefined;
  }
}

/** Answers the file's name. Only a run of everything at full length becomes `latest.md`. */
export function writeReport(
  report: Report,
  options: {
    readonly baseline: boolean;
    readonly complete: boolean;
    readonly before: Report | undefined;
  },
): string {
  mkdirSync(folder, { recursive: true });
  const name = `${report.date.slice(0, 10)}-${report.versions.commit.replace("+", "-changed")}${report.quick ? "-quick" : ""}${options.complete ? "" : "-part"}.json`;
  const text = `${JSON.stringify(report, undefined, 2)}\n`;
  writeFileSync(new URL(name, folder), text);
  if (options.baseline) writeFileSync(baselineFile, text);
  if (options.complete && !report.quick)
    writeFileSync(new URL("latest.md", folder), markdownOf(report, options.before));
  return `benchmarks/results/${name}`;
}

function markdownOf(report: Report, before: Report | undefined): string {
  const [head = [], ...rows] = tableOf(report.rows, before);
  const { machine, versions } = report;
  return [
    `# Benchmarks, ${report.date.slice(0, 10)}`,
    "",
    `Written by \`npm run bench\`; what the rows mean stands in [docs/benchmarks.md](../../docs/benchmarks.md). Medians of ${report.runs} runs.`,
    "",
    line(head),
    line(head.map((name) => (["value", "bar", "baseline"].includes(name) ? "--:" : "---"))),
    ...rows.map(line),
    "",
    `- Machine: ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.os}, ${machine.fileSystem}; load before the run ${machine.loadBefore.toFixed(2)}`,
    `- Node ${machine.node}, SQLite ${machine.sqlite}, commit ${versions.commit}`,
    `- Clients: ${Object.entries(versions.clients)
      .map(([client, version]) => `${client} ${version}`)
      .join(", ")}`,
    `- Servers: ${Object.entries(versions.servers)
      .map(([server, version]) => `${server}: ${version}`)
      .join(", ")}`,
    "",
  ].join("\n");
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

const digitsSmall = 2;

function numberText(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return "–";
  return value >= 1_000 ? Math.round(value).toLocaleString("en-GB") : value.toFixed(digitsSmall);
}

function barText(bar: Bar | undefined): string {
  if (bar === undefined) return "";
  return "atLeast" in bar ? `≥ ${numberText(bar.atLeast)}` : `≤ ${numberText(bar.atMost)}`;
}

function changeText(value: number | undefined, before: number | undefined): string {
  return value === undefined || before === undefined
    ? ""
    : `× ${(value / before).toFixed(digitsSmall)}`;
}
