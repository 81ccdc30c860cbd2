/**
 * Type-checks and runs the code of the documents: `npm run docs [-- docs/retry.md …]`.
 * CONTRIBUTING.md, "Snippets", is the convention.
 */
import { spawnSync } from "node:child_process";
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { cacheDirectory, root, slashed, sourceCondition } from "./repository.ts";
import {
  type Fault,
  type Plan,
  type Project,
  type Step,
  isExpectedOutput,
  planDocument,
} from "./snippets-plan.ts";

export interface Report {
  /** Path of the document under the root. */
  readonly document: string;
  readonly faults: readonly Fault[];
  readonly files: number;
  readonly runs: number;
}

interface Checkout {
  readonly document: string;
  readonly plan: Plan;
  /** Folder of each project. */
  readonly folders: ReadonlyMap<Project, string>;
}

const runMsMax = 60_000;
const documentPatterns = ["README.md", "CONTRIBUTING.md", "docs/**/*.md", "{*,*/*}/README.md"];

/** Every document whose snippets are checked. */
export function documents(): readonly string[] {
  const found = globSync(documentPatterns, {
    cwd: root,
    exclude: (path) => path.includes("node_modules"),
  });
  return [...new Set(found.map(slashed))].toSorted();
}

/** Checks documents: one compilation over all of them, then each run in the order of the text. */
export function checkDocuments(
  paths: readonly string[],
  repository: string = root,
): readonly Report[] {
  mkdirSync(cacheDirectory, { recursive: true });
  // Inside the repository, so that packages resolve as they do for its own sources.
  const workspace = mkdtempSync(join(cacheDirectory, "snippets-"));
  try {
    const checkouts = paths.map((document, index) =>
      checkOut(
        document,
        readFileSync(join(repository, document), "utf8"),
        join(workspace, String(index)),
      ),
    );
    const typeFaults = compile(workspace, checkouts);
    return checkouts.map((checkout) => report(checkout, typeFaults.get(checkout) ?? []));
  } finally {
    rmSync(workspace, { recursive: true, force: true });
  }
}

function checkOut(document: string, markdown: string, folder: string): Checkout {
  const plan = planDocument(markdown);
  const folders = new Map<Project, string>();
  for (const [index, project] of plan.projects.entries()) {
    const projectFolder = join(folder, String(index));
    folders.set(project, projectFolder);
    writeProject(project, projectFolder);
  }
  return { document, plan, folders };
}

/** Writes a project's files, ready to be run in `folder`. */
export function writeProject(project: Project, folder: string): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
  for (const { path, text } of project.files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

function compile(
  workspace: string,
  checkouts: readonly Checkout[],
): ReadonlyMap<Checkout, readonly Fault[]> {
  const found = new Map<Checkout, Fault[]>(checkouts.map((checkout) => [checkout, []]));
  if (checkouts.every(({ plan }) => plan.projects.every(({ files }) => files.length === 0)))
    return found;
  const compilerOptions = {
    noEmit: true,
    composite: false,
    declaration: false,
    isolatedDeclarations: false,
    sourceMap: false,
    inlineSources: false,
  };
  const config = {
    extends: slashed(join(root, "tsconfig.base.json")),
    compilerOptions,
    include: ["**/*.ts"],
  };
  writeFileSync(join(workspace, "tsconfig.json"), JSON.stringify(config));
  const { stdout, status } = run(
    [join(root, "node_modules/typescript/bin/tsc"), "-p", workspace, "--pretty", "false"],
    workspace,
  );
  if (status === 0) return found;
  const places = sourcePlaces(checkouts);
  for (const [, file = "", line = "1", message = ""] of stdout.matchAll(
    /^(.+?)\((\d+),\d+\): error (.+(?:\n {2}.+)*)/gm,
  )) {
    const place = places.get(join(workspace, file));
    if (place === undefined)
      throw new Error(`The compiler complains outside the snippets:\n${stdout}`);
    found.get(place.checkout)?.push({ line: place.lines[Number(line) - 1] ?? 1, message });
  }
  if ([...found.values()].every((faults) => faults.length === 0))
    throw new Error(`The compiler failed:\n${stdout}`);
  return found;
}

interface Place {
  readonly checkout: Checkout;
  readonly lines: readonly number[];
}

function sourcePlaces(checkouts: readonly Checkout[]): ReadonlyMap<string, Place> {
  const places = new Map<string, Place>();
  for (const checkout of checkouts)
    for (const [project, folder] of checkout.folders)
      for (const { path, lines } of project.files)
        places.set(join(folder, path), { checkout, lines });
  return places;
}

function report({ document, plan, folders }: Checkout, typeFaults: readonly Fault[]): Report {
  const faults = [...plan.faults, ...typeFaults];
  let runs = 0;
  // What does not compile is not run: its output would only repeat the fault.
  for (const [project, folder] of faults.length === 0 ? folders : [])
    for (const step of project.steps) {
      runs++;
      const message = runStep(step, folder);
      if (message !== undefined) faults.push({ line: step.line, message });
    }
  const files = plan.projects.reduce((sum, project) => sum + project.files.length, 0);
  return { document, faults, files, runs };
}

function runStep(step: Step, folder: string): string | undefined {
  const cwd = step.inRepository ? root : folder;
  const result =
    step.kind === "ts" ? run([sourceCondition, step.run], cwd) : runShell(step.run, cwd);
  if (result.status !== 0) {
    const end =
      result.status === null ? `did not end within ${runMsMax} ms` : `ended with ${result.status}`;
    return `${end}:\n${result.stdout}${result.stderr}`;
  }
  if (step.expected === undefined || isExpectedOutput(step.expected, result.stdout))
    return undefined;
  return `printed\n${result.stdout}\nwhile the document shows\n${step.expected}`;
}

interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(args: readonly string[], cwd: string): Ran {
  return spawnSync(process.execPath, args, {
    cwd,
    encoding: "utf8",
    env: environment(),
    timeout: runMsMax,
    killSignal: "SIGKILL",
  });
}

function runShell(text: string, cwd: string): Ran {
  const env = { ...environment(), NODE_OPTIONS: sourceCondition };
  return spawnSync("bash", ["-euo", "pipefail", "-c", text], {
    cwd,
    encoding: "utf8",
    env,
    timeout: runMsMax,
    killSignal: "SIGKILL",
  });
}

/** The reader's terminal: this repository's tools first on PATH, no colours, no test runner around. */
function environment(): NodeJS.ProcessEnv {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  return {
    ...env,
    NO_COLOR: "1",
    PATH: [join(root, "node_modules/.bin"), env["PATH"]].join(delimiter),
  };
}

if (import.meta.main) {
  const chosen = process.argv.slice(2);
  for (const { document, faults, files, runs } of checkDocuments(
    chosen.length > 0 ? chosen : documents(),
  )) {
    if (faults.length === 0)
      console.log(`${document}: ${files} files compiled, ${runs} runs as shown.`);
    else process.exitCode = 1;
    for (const { line, message } of faults) console.error(`${document}:${line} ${message}`);
  }
}
