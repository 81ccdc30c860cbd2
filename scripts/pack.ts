/**
 * Writes the tarballs that are published: `npm run pack`. Each holds dist, its package.json without what only
 * this repository needs, the LICENSE and a README. In dist the code is one file for each entry of the package, because
 * Node needs a third of a millisecond for each file that it loads; the types stay as the compiler wrote them.
 *
 * `node scripts/pack.ts --into DIR` lays the packages out in DIR/node_modules instead, as npm would, without any network.
 */
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { buildSync } from "esbuild";
import { type PackageJson, cacheDirectory, readPackage, root, slashed } from "./repository.ts";

/** Rooms that are published, each with its package.json. */
export function publishedRooms(): readonly {
  readonly room: string;
  readonly package: PackageJson;
}[] {
  const rooms = globSync([...(readPackage(root).workspaces ?? [])], { cwd: root })
    .map(slashed)
    .toSorted();
  return rooms
    .map((room) => ({ room, package: readPackage(join(root, room)) }))
    .filter(({ package: { private: isPrivate } }) => isPrivate !== true);
}

/** Packs rooms into `destination`. Answers the tarball of each package. */
export function pack(rooms: readonly string[], destination: string): ReadonlyMap<string, string> {
  mkdirSync(destination, { recursive: true });
  const staging = mkdtempSync(join(tmpdir(), "waybill-pack-"));
  try {
    const tarballs = new Map<string, string>();
    for (const { room, package: content } of publishedRooms()) {
      if (!rooms.includes(room)) continue;
      const folder = join(staging, room);
      stage(room, content, folder);
      tarballs.set(content.name, join(destination, npmPack(folder, destination)));
    }
    return tarballs;
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

/** Lays every published package out in `folder`/node_modules with what it depends on at run time. */
export function layOut(folder: string): void {
  const modules = join(folder, "node_modules");
  for (const { room, package: content } of publishedRooms())
    stage(room, content, join(modules, content.name));
  const foreign = publishedRooms().flatMap(({ package: { dependencies = {} } }) =>
    Object.keys(dependencies).filter((name) => !existsSync(join(modules, name))),
  );
  for (const name of new Set(foreign)) {
    mkdirSync(dirname(join(modules, name)), { recursive: true });
    symlinkSync(join(root, "node_modules", name), join(modules, name), "junction");
  }
}

function stage(room: string, content: PackageJson, folder: string): void {
  const source = join(root, room);
  if (!existsSync(join(source, "dist/index.js")))
    throw new Error(`${room} is not built. Run \`npm run build\`.`);
  mkdirSync(folder, { recursive: true });
  cpSync(join(source, "dist"), join(folder, "dist"), { recursive: true, filter: isShipped });
  bundle(content, source, folder);
  copyFileSync(join(root, "LICENSE"), join(folder, "LICENSE"));
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(publishable(content), null, 2)}\n`);
  const readme = readmeOf(room);
  if (readme === undefined) writeFileSync(join(folder, "README.md"), shortReadme(content));
  else copyFileSync(readme, join(folder, "README.md"));
}

function isShipped(path: string): boolean {
  return !/\.(test|fixture)\.|\.js(\.map)?$|\.tsbuildinfo$|[\\/]fixtures([\\/]|$)/.test(path);
}

/** One file of code for each entry, with a map back to the TypeScript. What stands in other packages stays an import. */
function bundle({ name, exports = {} }: PackageJson, source: string, folder: string): void {
  const entries = Object.values(exports).flatMap(({ default: file }) => file ?? []);
  if (entries.length === 0) throw new Error(`${name} exports nothing that could be packed.`);
  buildSync({
    absWorkingDir: source,
    entryPoints: entries,
    outdir: join(folder, "dist"),
    outbase: join(source, "dist"),
    bundle: true,
    splitting: true,
    packages: "external",
    platform: "neutral",
    format: "esm",
    target: "esnext",
    charset: "utf8",
    sourcemap: true,
    logLevel: "error",
  });
}

/** Without the condition that leads to sources, which are not shipped, and without what is for work on it. */
function publishable({
  devDependencies: _tools,
  scripts: _scripts,
  ...content
}: PackageJson): object {
  const entries = Object.entries(content.exports ?? {}).map(([path, targets]) => {
    const { "@waybill/source": _source, ...kept } = targets;
    return [path, kept] as const;
  });
  return {
    ...content,
    exports: Object.fromEntries(entries),
    files: ["dist"],
    // Not in the workspace's own package.json: npm would warn there on each `npm ci` with an older Node, although the
    // repository brings the Node that it runs on.
    engines: { node: ">=24" },
    publishConfig: { access: "public" },
  };
}

function readmeOf(room: string): string | undefined {
  const own = join(root, room, "README.md");
  if (existsSync(own)) return own;
  return room === "waybill" ? join(root, "README.md") : undefined;
}

function shortReadme({ name, description = "" }: PackageJson): string {
  return `# ${name}\n\n${description}\n\nPart of Waybill: see the package \`waybill\` for how to begin.\n`;
}

function npmPack(folder: string, destination: string): string {
  const output = execFileSync("npm", ["pack", "--json", "--pack-destination", destination], {
    cwd: folder,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  return (JSON.parse(output) as readonly { readonly filename: string }[])[0]?.filename ?? "";
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { into: { type: "string" } } });
  if (values.into === undefined) packAll();
  else layOut(values.into);
}

function packAll(): void {
  const rooms = publishedRooms().map(({ room }) => room);
  for (const [name, tarball] of pack(rooms, join(cacheDirectory, "packages")))
    console.log(`${name}: ${tarball}`);
}
