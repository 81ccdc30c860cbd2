import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Capabilities } from "@waybill/core";

/** What came of one case on one transport. */
export interface CaseResult {
  readonly id: string;
  readonly title: string;
  readonly outcome: "passed" | "failed" | "skipped";
  /** Why it was skipped, or how it failed; empty when it passed. */
  readonly reason: string;
}

/** One run of the suite: what `docs/transports.md` is made of. */
export interface SuiteResults {
  readonly transport: string;
  readonly capabilities: Capabilities;
  readonly cases: readonly CaseResult[];
}

/** One run of the failure suite: what `docs/failures.md` is made of. */
export interface FailureResults {
  readonly transport: string;
  /** `title` is what goes wrong. */
  readonly cases: readonly (CaseResult & { readonly then: string })[];
}

/** Writes `<transport>.json` into the directory that WAYBILL_SUITE_RESULTS names; nothing when it is not set. */
export function writeResults(results: SuiteResults): void {
  write(results.transport, results);
}

/** Writes `<transport>.failures.json` there. */
export function writeFailureResults(results: FailureResults): void {
  write(`${results.transport}.failures`, results);
}

function write(name: string, results: SuiteResults | FailureResults): void {
  // oxlint-disable-next-line node/no-process-env -- the one switch of a test run, read where the run ends.
  const directory = process.env["WAYBILL_SUITE_RESULTS"];
  if (directory === undefined || directory === "") return;
  mkdirSync(directory, { recursive: true });
  const file = join(directory, `${name.replaceAll(/[^a-z0-9.-]+/gi, "-")}.json`);
  writeFileSync(file, `${JSON.stringify(results, undefined, 2)}\n`);
}
