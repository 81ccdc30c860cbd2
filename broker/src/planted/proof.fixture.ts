import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import type { PlantedBug } from "./bug.fixture.ts";

/** Tests that must notice a bug. */
export interface Proof {
  readonly name: string;
  readonly file: string;
  /** What it says when it has found something, rather than not run at all. */
  readonly says: RegExp;
  /** Only the tests whose name begins so. */
  readonly cases?: readonly string[];
}

/** How a proof went. */
export interface Verdict {
  /** It failed, or a case of it did not end. */
  readonly caught: boolean;
  /** The longest that it said nothing. */
  readonly silentMs: number;
}

const noticed = { model: /Counterexample/, suite: /^\s*✖ \S/m };

/** Everything that must notice a bug in that file, the first one first. */
export function proofsFor(file: string): readonly Proof[] {
  const [model, suite] = file.startsWith("core/")
    ? ["testkit/src/model.test.ts", "testkit/src/memory.test.ts"]
    : ["broker/src/proof/model.test.ts", "broker/src/transport.test.ts"];
  return [
    { name: "model", file: model, says: noticed.model },
    { name: "transport suite", file: suite, says: noticed.suite },
  ];
}

/** What aims at this bug, then everything. */
export function proofsOf({ file, cases }: PlantedBug): readonly Proof[] {
  const all = proofsFor(file);
  const [, suite] = all;
  return cases === undefined || suite === undefined ? all : [{ ...suite, cases }, ...all];
}

/**
 * Runs a proof in that copy of the sources until it ends, finds something, or says nothing for `silenceMsMax`: tests tell of each
 * case when it ends, so a case takes longer than that, and a bug may make a loop that no test's own time limit gets a word into.
 */
export async function prove(copy: string, proof: Proof, silenceMsMax: number): Promise<Verdict> {
  const child = begin(copy, proof);
  let output = "";
  let [heardAt, silentMs] = [performance.now(), 0];
  let hangs = false;
  const watch = setInterval(() => {
    if (performance.now() - heardAt < silenceMsMax) return;
    hangs = true;
    child.kill("SIGKILL");
  }, 200);
  const hear = (text: string): void => {
    output += text;
    silentMs = Math.max(silentMs, performance.now() - heardAt);
    heardAt = performance.now();
    if (proof.says.test(output)) child.kill("SIGKILL");
  };
  for (const stream of [child.stdout, child.stderr]) stream?.setEncoding("utf8").on("data", hear);
  const code = await exitCode(child).finally(() => clearInterval(watch));
  const caught = code !== 0;
  assert.ok(
    !caught || hangs || proof.says.test(output),
    `${proof.file} did not run, so it proves nothing:\n${output.slice(-2_000)}`,
  );
  assert.ok(
    caught || proof.cases === undefined || /^ℹ pass [1-9]/m.test(output),
    `${proof.file} has none of the cases ${proof.cases?.join(", ")}. Correct broker/src/planted.`,
  );
  return { caught, silentMs };
}

function begin(copy: string, { file, cases = [] }: Proof): ChildProcess {
  const { NODE_TEST_CONTEXT: _, WAYBILL_SUITE_RESULTS: _results, ...environment } = process.env;
  const runs = file.startsWith("broker/") ? "150" : "500";
  const only = cases.map((id) => `--test-name-pattern=${id.replaceAll(".", "\\.")}:`);
  return spawn(
    process.execPath,
    ["--conditions=@waybill/source", "--test-reporter=spec", ...only, join(copy, file)],
    {
      cwd: copy,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...environment, WAYBILL_RUNS: runs, WAYBILL_SHRINK: "0" },
    },
  );
}

/** Null when it was killed. */
function exitCode(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
}
