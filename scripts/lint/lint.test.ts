import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { root } from "../repository.ts";

interface Finding {
  readonly code: string;
  readonly message: string;
  readonly filename: string;
  readonly labels: readonly { readonly span: { readonly line: number } }[];
}

/** One way to read the machine's time, chance or identity per line. */
const forbidden = `Date.now();
new Date();
Date();
globalThis.Date.now();
performance.now();
Math.random();
setTimeout(() => {}, 1);
setInterval(() => {}, 1);
setImmediate(() => {});
globalThis.setTimeout(() => {}, 1);
crypto.randomUUID();
crypto.getRandomValues(new Uint8Array(1));
AbortSignal.timeout(1);
process.hrtime.bigint();
export const { now } = Date;
export const later = setTimeout;
import { randomUUID } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import { performance as clock } from "node:perf_hooks";
export { randomBytes } from "node:crypto";
Math["random"]();
`;

const allowed = `export const parsed = new Date(0);
export const text = new Date("2026-01-01").toISOString();
export const stop = (timer: ReturnType<typeof setTimeout>): void => clearTimeout(timer);
export const own = (setTimeout: () => void): void => setTimeout();
export const larger = Math.max(1, 2);
export const hash = (clock: { now(): number }): number => clock.now();
export const shown = { setTimeout: 1, random: 2 };
export const read = shown.setTimeout + shown.random;
`;

describe("the lint configuration", () => {
  const folder = mkdtempSync(join(tmpdir(), "waybill-lint-"));

  before(() => {
    for (const part of [".oxlintrc.json", "scripts/lint", "tsconfig.base.json"])
      cpSync(join(root, part), join(folder, part), { recursive: true });
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  test("reports every other source of time, chance and ids", () => {
    const findings = lint({ "core/src/forbidden.ts": forbidden }, "waybill(environment)");
    const lines = forbidden.trimEnd().split("\n");
    const found = new Set(findings.map((finding) => finding.labels[0]?.span.line));
    const missed = lines.filter((_, index) => !found.has(index + 1));
    assert.deepEqual(missed, []);
    assert.match(
      findings[0]?.message ?? "",
      /Date\.now hides time or chance from tests: use environment\.clock/,
    );
  });

  test("leaves fixed dates, local names and members of other objects alone", () => {
    const findings = lint({ "core/src/allowed.ts": allowed }, "waybill(environment)");
    assert.deepEqual(
      findings.map((finding) => finding.message),
      [],
    );
  });

  test("excepts only the files that supply time, tests and programs", () => {
    const findings = lint(
      {
        "core/src/environment/system.ts": forbidden,
        "testkit/src/environment.ts": forbidden,
        "broker/src/queue.test.ts": forbidden,
        "benchmarks/src/main.ts": forbidden,
        "scripts/tool.ts": forbidden,
        "broker/src/environment.ts": "Date.now();",
        "examples/shop/src/payment/service.ts": "Math.random();",
      },
      "waybill(environment)",
    );
    assert.deepEqual(findings.map((finding) => finding.filename).toSorted(), [
      "broker/src/environment.ts",
      "examples/shop/src/payment/service.ts",
    ]);
  });

  test("reports import cycles, but not cycles of types alone", () => {
    const findings = lint(
      {
        "core/src/a.ts": `import { b } from "./b.ts"; export const a = (): void => b();`,
        "core/src/b.ts": `import { c } from "./c.ts"; export const b = (): void => c();`,
        "core/src/c.ts": `import { a } from "./a.ts"; export const c = (): void => a();`,
        "core/src/d.ts": `import type { E } from "./e.ts"; export interface D { readonly e: E }`,
        "core/src/e.ts": `import type { D } from "./d.ts"; export interface E { readonly d: D }`,
      },
      "import(no-cycle)",
    );
    assert.deepEqual(findings.map((finding) => finding.filename).toSorted(), [
      "core/src/a.ts",
      "core/src/b.ts",
      "core/src/c.ts",
    ]);
  });

  test("reports floating promises, missing cases and `any`, with type information", () => {
    const source = `
      export const kind = (k: "a" | "b"): number => { switch (k) { case "a": return 1; } return 0; };
      export const start = (): void => { Promise.resolve(1); };
      export const loose = (value: any): unknown => value;`;
    const codes = lint({ "core/src/typed.ts": source }).map((finding) => finding.code);
    for (const rule of ["switch-exhaustiveness-check", "no-floating-promises", "no-explicit-any"])
      assert.ok(codes.includes(`typescript(${rule})`), `${rule} in ${codes.join(", ")}`);
  });

  test("holds the sizes of the house style in sources, not in tests", () => {
    const long = `export const value = 1;\n${"// line\n".repeat(301)}`;
    const wide = `export function wide(a: 1, b: 2, c: 3, d: 4): void { void [a, b, c, d]; }`;
    const tall = `export function tall(): void {\n${"  void 0;\n".repeat(60)}}\n`;
    const files = { long, wide, tall };
    const place = (suffix: string): Record<string, string> =>
      Object.fromEntries(
        Object.entries(files).map(([name, text]) => [`core/src/${name}${suffix}`, text]),
      );
    const sizes = ["eslint(max-lines)", "eslint(max-params)", "eslint(max-lines-per-function)"];
    const codes = lint(place(".ts")).map((finding) => finding.code);
    assert.deepEqual(
      sizes.filter((size) => !codes.includes(size)),
      [],
    );
    const inTests = lint(place(".test.ts")).map((finding) => finding.code);
    assert.deepEqual(
      inTests.filter((code) => code.startsWith("eslint(max-lines")),
      [],
    );
  });

  /** Lints planted files under this repository's own configuration. */
  function lint(files: Readonly<Record<string, string>>, code?: string): readonly Finding[] {
    const planted = ["core", "testkit", "broker", "benchmarks", "examples", "scripts/tool.ts"];
    for (const path of planted) rmSync(join(folder, path), { recursive: true, force: true });
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    const config = { extends: "./tsconfig.base.json", include: ["**/*.ts"] };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
    const result = spawnSync(
      process.execPath,
      [
        join(root, "node_modules/oxlint/bin/oxlint"),
        "--type-aware",
        "--format=json",
        ...Object.keys(files),
      ],
      { cwd: folder, encoding: "utf8" },
    );
    assert.notEqual(result.stdout, "", result.stderr);
    const { diagnostics } = JSON.parse(result.stdout) as {
      readonly diagnostics: readonly Finding[];
    };
    return diagnostics.filter((finding) => code === undefined || finding.code === code);
  }
});
