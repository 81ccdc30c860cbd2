import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Limits, alone, runTests } from "./test-run.ts";

const limits: Limits = { timeoutMs: 30_000, totalMs: 50_000, concurrency: 2 };

/** Files of tests in a folder of their own, and a log that they write. */
class Scene {
  readonly said: string[] = [];
  readonly #directory: string;
  readonly #log: string;

  constructor(context: TestContext) {
    this.#directory = mkdtempSync(join(tmpdir(), "waybill-lanes-"));
    this.#log = join(this.#directory, "log");
    writeFileSync(this.#log, "");
    context.after(() => rmSync(this.#directory, { recursive: true, force: true }));
    // What the runs of this scene print is no output of this test.
    context.mock.method(console, "log", (text: string) => this.said.push(text));
    context.mock.method(console, "error", () => undefined);
  }

  /** A file with one test, which logs its beginning and its end. */
  file(name: string, body = ""): string {
    const path = join(this.#directory, `${name}.test.mjs`);
    writeFileSync(
      path,
      `import { test } from "node:test";
import { appendFileSync, readFileSync } from "node:fs";
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
const began = (name) => readFileSync(${JSON.stringify(this.#log)}, "utf8").includes("+" + name);
const log = (text) => appendFileSync(${JSON.stringify(this.#log)}, text + "\\n");
test("${name}", async () => { log("+${name}"); await sleep(100); ${body}; log("-${name}"); });
`,
    );
    return path;
  }

  run(files: readonly string[], more: Partial<Limits>): Promise<number> {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    return runTests({ files, flags: [], env }, { ...limits, ...more });
  }

  get log(): readonly string[] {
    return readFileSync(this.#log, "utf8").trim().split("\n");
  }
}

test("files of one lane never run at the same time, those of two do, and those that run alone beside no other", async (context) => {
  const scene = new Scene(context);
  const names = ["a1", "b1", "a2", "x1", "c1", "x2", "a3"];
  const laneOf = (file: string): string => {
    const lane = /(\w)\d\.test\.mjs$/.exec(file)?.[1] ?? "";
    return lane === "x" ? alone : lane;
  };
  // These end only beside each other.
  const other: Readonly<Record<string, string>> = { a1: "b1", b1: "a1" };
  const files = names.map((name) =>
    scene.file(name, `while (!began("${other[name] ?? name}")) await sleep(5)`),
  );
  assert.equal(await scene.run(files, { laneOf }), 0);
  const running = new Set<string>();
  for (const line of scene.log) {
    const name = line.slice(1);
    if (line.startsWith("-")) {
      running.delete(name);
      continue;
    }
    const beside = [...running];
    assert.ok(!beside.some((each) => each[0] === name[0] || each[0] === "x"), scene.log.join(" "));
    assert.ok(name[0] !== "x" || beside.length === 0, scene.log.join(" "));
    running.add(name);
  }
  assert.equal(scene.log.length, 2 * names.length);
});

test("one file that fails fails the run, and the others run nevertheless", async (context) => {
  const scene = new Scene(context);
  const files = [scene.file("bad", `throw new Error("no")`), scene.file("good")];
  assert.equal(await scene.run(files, { laneOf: () => "one" }), 1);
  assert.deepEqual(scene.log, ["+bad", "+good", "-good"]);
  const [failure, sum] = scene.said.slice(-2);
  assert.match(failure ?? "", /bad\.test\.mjs\n.*✖ bad .*Error: no/s);
  assert.match(sum ?? "", /2 tests in 2 files; 1 files failed/);
});

test("where no test ran, the run fails", async (context) => {
  const scene = new Scene(context);
  const files = ["one", "two"].map((name) => scene.file(name));
  for (const file of files) writeFileSync(file, "");
  assert.equal(await scene.run(files, { laneOf: (file) => file }), 1);
});

test("what does not end in time is ended with all that it started, and nothing else is begun", async (context) => {
  const scene = new Scene(context);
  const hang = `log(spawn("sleep", ["60"]).pid); for (;;);`;
  const files = [scene.file("hangs", hang), scene.file("late")];
  assert.equal(await scene.run(files, { laneOf: () => "one", totalMs: 5_000 }), 1);
  const [begun, pid, ...more] = scene.log;
  assert.equal(begun, "+hangs");
  assert.deepEqual(more, []);
  // It is gone when whoever took it over has noticed.
  while (isAlive(Number(pid))) await sleep(20);
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
