import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { test } from "node:test";
import { type PlantedBug, plantedBugs } from "../planted/bugs.fixture.ts";

const root = join(import.meta.dirname, "../../..");
const rooms = ["contracts", "core", "testkit", "broker"];
const caughtMin = Math.ceil(0.9 * plantedBugs.length);
const attemptMsMax = 240_000;

interface Proof {
  readonly name: string;
  readonly file: string;
  /** What it says when it has found something, rather than not run at all. */
  readonly says: RegExp;
}

const found = { model: /Counterexample/, suite: /✖|not ok/ };

/** What must notice, the first one first. */
function proofsOf({ file }: PlantedBug): readonly Proof[] {
  return file.startsWith("core/")
    ? [
        { name: "model", file: "testkit/src/model.test.ts", says: found.model },
        { name: "transport suite", file: "testkit/src/memory.test.ts", says: found.suite },
      ]
    : [
        { name: "model", file: "broker/src/proof/model.test.ts", says: found.model },
        { name: "transport suite", file: "broker/src/transport.test.ts", says: found.suite },
      ];
}

test(`of ${plantedBugs.length} planted bugs at least ${caughtMin} are caught`, async (context) => {
  const copy = mkdtempSync(join(tmpdir(), "waybill-planted-"));
  context.after(() => rmSync(copy, { recursive: true, force: true }));
  copySources(copy);
  for (const bug of [plantedBugs[0], plantedBugs.at(-1)]) {
    for (const proof of bug === undefined ? [] : proofsOf(bug))
      assert.equal(await catches(copy, proof), false, `without a bug ${proof.file} fails`);
  }
  const missed: string[] = [];
  for (const bug of plantedBugs) {
    const caughtBy = await plant(copy, bug);
    context.diagnostic(
      `${caughtBy === undefined ? "MISSED" : `caught by ${caughtBy}`}: ${bug.name} (${bug.file})`,
    );
    if (caughtBy === undefined) missed.push(bug.name);
  }
  assert.ok(plantedBugs.length - missed.length >= caughtMin, `not caught: ${missed.join("; ")}`);
});

/** Answers what caught it. */
async function plant(copy: string, bug: PlantedBug): Promise<string | undefined> {
  const file = join(copy, bug.file);
  const sound = readFileSync(file, "utf8");
  const [before, after, ...more] = sound.split(bug.text);
  assert.ok(
    before !== undefined && after !== undefined && more.length === 0,
    `"${bug.name}" does not fit ${bug.file} any more: its text must stand there once. Correct broker/src/planted/bugs.fixture.ts.`,
  );
  writeFileSync(file, before + bug.instead + after);
  try {
    for (const proof of proofsOf(bug)) if (await catches(copy, proof)) return proof.name;
    return undefined;
  } finally {
    writeFileSync(file, sound);
  }
}

/** Also when it does not end: a bug may make a loop. */
async function catches(copy: string, { file, says }: Proof): Promise<boolean> {
  const { NODE_TEST_CONTEXT: _, WAYBILL_SUITE_RESULTS: _results, ...environment } = process.env;
  const runs = file.startsWith("broker/") ? "60" : "300";
  const child = spawn(process.execPath, ["--conditions=@waybill/source", join(copy, file)], {
    cwd: copy,
    stdio: ["ignore", "pipe", "pipe"],
    timeout: attemptMsMax,
    killSignal: "SIGKILL",
    env: { ...environment, WAYBILL_RUNS: runs, WAYBILL_SHRINK: "0" },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => void (output += text));
  const [code, signal] = await new Promise<readonly [number | null, NodeJS.Signals | null]>(
    (resolve, reject) => {
      child.once("error", reject);
      child.once("close", (...ended) => resolve(ended));
    },
  );
  if (code === 0) return false;
  assert.ok(
    signal !== null || says.test(output),
    `${file} did not run, so it proves nothing:\n${output.slice(-2_000)}`,
  );
  return true;
}

function copySources(copy: string): void {
  mkdirSync(join(copy, "node_modules/@waybill"), { recursive: true });
  for (const room of rooms) {
    for (const part of ["package.json", "src"])
      cpSync(join(root, room, part), join(copy, room, part), { recursive: true });
    symlinkSync(join(copy, room), join(copy, "node_modules/@waybill", room));
  }
  for (const tool of ["fast-check", "pure-rand", "@standard-schema"])
    symlinkSync(join(root, "node_modules", tool), join(copy, "node_modules", basename(tool)));
}
