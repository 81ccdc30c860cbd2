import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { importMs } from "./import-time.ts";
import { importsOf, packageOf } from "./imports.ts";
import { pack, publishedRooms } from "./pack.ts";
import { type PackageJson, readPackage, root } from "./repository.ts";
import { isExpectedOutput, planDocument } from "./snippets-plan.ts";
import { writeProject } from "./snippets.ts";

/** What `npm install waybill` brings. */
const rooms = ["contracts", "core", "broker", "waybill"];
/** What npm runs for a package from the registry. */
const installScripts = ["preinstall", "install", "postinstall"];
const dependenciesMax = 3;

describe("the packages as a user gets them", () => {
  const folder = mkdtempSync(join(tmpdir(), "waybill-user-"));
  const [example] = planDocument(readFileSync(join(root, "README.md"), "utf8")).projects;

  before(() => {
    const tarballs = pack(rooms, join(folder, "tarballs"));
    const ours = Object.fromEntries([...tarballs].map(([name, path]) => [name, `file:${path}`]));
    const tools = Object.fromEntries(toolsOfExample().map((name) => [name, versionHere(name)]));
    const content = {
      private: true,
      type: "module",
      dependencies: { waybill: ours["waybill"], ...tools },
      // The packages need each other by version; none is published yet, so all come from their tarballs.
      overrides: { ...ours, waybill: undefined },
    };
    writeFileSync(join(folder, "package.json"), JSON.stringify(content));
    const flags = ["--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"];
    execFileSync("npm", ["install", ...flags], {
      cwd: folder,
      stdio: ["ignore", "ignore", "inherit"],
    });
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  test("hold LICENSE, README and dist, and neither sources nor tests", () => {
    for (const { path, content } of installed().filter(({ content: { name } }) => isOurs(name))) {
      for (const file of ["LICENSE", "README.md", "dist/index.js", "dist/index.d.ts"])
        assert.ok(existsSync(join(path, file)), `${content.name} holds ${file}`);
      const files = readdirSync(path, { recursive: true, encoding: "utf8" });
      assert.deepEqual(
        files.filter((file) => /^src|\.test\.|\.fixture\.|tsbuildinfo/.test(file)),
        [],
      );
      assert.equal(content["license"], "Apache-2.0");
    }
  });

  test("are one file of code for each entry and one for what entries share, with maps to the TypeScript", () => {
    for (const { path, content } of installed().filter(({ content: { name } }) => isOurs(name))) {
      const dist = join(path, "dist");
      const files = readdirSync(dist, { recursive: true, encoding: "utf8" });
      const code = files.filter((file) => /\.js(\.map)?$/.test(file)).toSorted();
      const named = code.map((file) => file.replace(/^chunk-[A-Z0-9]+/, "shared"));
      assert.deepEqual(named.toSorted(), codeOf(content), content.name);
      for (const file of code.filter((each) => each.endsWith(".map"))) {
        const map = JSON.parse(readFileSync(join(dist, file), "utf8")) as SourceMap;
        assert.ok(map.sources.length > 0, `${content.name} ${file} says where it comes from`);
        assert.deepEqual(
          map.sources.filter((source) => !/(^|\/)src\/.+\.ts$/.test(source)),
          [],
        );
        assert.equal(map.sourcesContent?.length, map.sources.length);
      }
    }
  });

  test("leave out nothing that they export, and load OpenTelemetry only when they connect", async () => {
    for (const { path, content } of installed().filter(({ content: { name } }) => isOurs(name))) {
      const packed = (await import(join(path, "dist/index.js"))) as object;
      const built = (await import(join(root, roomOf(content.name), "dist/index.js"))) as object;
      assert.deepEqual(Object.keys(packed), Object.keys(built), content.name);
      const code = readFileSync(join(path, "dist/index.js"), "utf8");
      assert.doesNotMatch(code, /^(import|export) .*@opentelemetry/m);
      const isDynamic = code.includes(`import("@opentelemetry/api")`);
      assert.equal(isDynamic, content.name === "@waybill/core");
    }
  });

  test("run nothing when they are installed", () => {
    const scripts = installed().flatMap(({ content }) =>
      installScripts.filter((script) => content.scripts?.[script] !== undefined),
    );
    assert.deepEqual(scripts, []);
    const built = installed().filter(({ path }) => existsSync(join(path, "binding.gyp")));
    assert.deepEqual(built, []);
  });

  test(`bring at most ${dependenciesMax} packages that are not ours`, () => {
    const wanted = new Set<string>();
    const visit = (name: string): void => {
      for (const dependency of Object.keys(
        readPackage(join(folder, "node_modules", name)).dependencies ?? {},
      ))
        if (!wanted.has(dependency)) {
          wanted.add(dependency);
          visit(dependency);
        }
    };
    visit("waybill");
    const foreign = [...wanted].filter((name) => !isOurs(name));
    assert.ok(foreign.length <= dependenciesMax, foreign.join(", "));
  });

  test("have types that resolve under nodenext", () => {
    const compilerOptions = {
      target: "esnext",
      module: "nodenext",
      strict: true,
      noEmit: true,
      skipLibCheck: false,
      types: ["node"],
      typeRoots: [join(root, "node_modules/@types")],
    };
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({ compilerOptions, files: ["types.ts"] }),
    );
    const imports = installed().filter(({ content: { name } }) => isOurs(name));
    const lines = imports.map(
      ({ content: { name } }, index) => `export * as room${index} from "${name}";`,
    );
    writeFileSync(join(folder, "types.ts"), lines.join("\n"));
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    const result = spawnSync(process.execPath, [tsc, "-p", folder], {
      cwd: folder,
      encoding: "utf8",
    });
    assert.equal(result.stdout, "");
    assert.equal(result.status, 0);
  });

  test("run the README's first example", () => {
    assert.ok(example, "README.md has no ts block to run");
    const runs = example.steps.filter(({ kind }) => kind === "ts");
    assert.ok(runs.length > 0, "README.md has no ts block with the tag `run`");
    const place = join(folder, "example");
    writeProject(example, place);
    for (const { run, expected } of runs) {
      const result = spawnSync(process.execPath, [run], {
        cwd: place,
        encoding: "utf8",
        timeout: 60_000,
      });
      assert.equal(result.status, 0, `${run}:\n${result.stdout}${result.stderr}`);
      if (expected !== undefined)
        assert.ok(isExpectedOutput(expected, result.stdout), result.stdout);
    }
  });

  test("are imported in a measured time, printed and not judged here", (context) => {
    context.diagnostic(`import "waybill": median ${importMs("waybill", folder).toFixed(1)} ms`);
  });

  /** What the example imports besides Waybill: its schema library. */
  function toolsOfExample(): readonly string[] {
    const files = example?.files ?? [];
    const names = files.flatMap(({ path, text }) =>
      importsOf(path, text).map(({ specifier = "" }) => packageOf(specifier)),
    );
    return [...new Set(names)].filter(
      (name) => /^[@a-z]/.test(name) && !name.startsWith("node:") && !isOurs(name),
    );
  }

  function versionHere(name: string): string {
    return readPackage(join(root, "node_modules", name)).version;
  }

  function installed(): readonly { readonly path: string; readonly content: PackageJson }[] {
    const lock = JSON.parse(readFileSync(join(folder, "package-lock.json"), "utf8")) as {
      readonly packages: object;
    };
    return Object.keys(lock.packages)
      .filter((path) => path !== "")
      .map((path) => join(folder, path))
      .map((path) => ({ path, content: readPackage(path) }));
  }
});

interface SourceMap {
  readonly sources: readonly string[];
  readonly sourcesContent?: readonly string[];
}

/** The files of code that a package holds; `shared.js` is what its entries have in common. */
function codeOf({ exports = {} }: PackageJson): readonly string[] {
  const entries = Object.values(exports).flatMap(({ default: file }) => file ?? []);
  const files = entries.map((file) => file.replace("./dist/", ""));
  const all = entries.length > 1 ? [...files, "shared.js"] : files;
  return all.flatMap((file) => [file, `${file}.map`]).toSorted();
}

function roomOf(name: string): string {
  const found = publishedRooms().find(({ package: ours }) => ours.name === name);
  assert.ok(found, name);
  return found.room;
}

function isOurs(name: string): boolean {
  return publishedRooms().some(({ package: ours }) => ours.name === name);
}
