/**
 * Fails on an import against the direction
 * `contracts ← core ← {broker, transports, channels, captures, stores, codecs, wire} ← tools`, on an import of another room's inside,
 * and on a package that a room uses without declaring it. `npm run rooms`.
 */
import { existsSync, globSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { dirname, join, relative } from "node:path";
import { type Import, importsOf, packageOf } from "./imports.ts";
import { type PackageJson, readPackage, root, slashed } from "./repository.ts";

export interface Violation {
  /** `core/src/bus.ts:12`. */
  readonly place: string;
  readonly message: string;
}

interface Room {
  /** Folder under the root: `core`, `transports/rabbitmq`. */
  readonly path: string;
  readonly package: PackageJson;
  readonly level: Level;
}

interface Level {
  /** Which rooms its sources may import. */
  readonly sees: (other: string) => boolean;
  /** Which rooms its tests may import besides. */
  readonly testsSee: (other: string) => boolean;
  readonly runsInBrowsers: boolean;
}

interface File {
  readonly room: Room;
  readonly path: string;
  readonly isTest: boolean;
}

/** Loads the package that a URL asks for, if it is installed. It knows its name and nothing else of it. */
const loadsByName = "core/src/transport-url.ts";
const adapters = /^(transports|channels|captures|stores|codecs|wire)\//;
const published = (room: string): boolean => !/^(examples\/|benchmarks$|scripts$|docs$)/.test(room);

/** Who may import whom. The first pattern that matches a room's path is its level. */
const levels: readonly (readonly [pattern: RegExp, level: Level])[] = [
  [/^contracts$/, level([], [], { runsInBrowsers: true })],
  // The suite that proves core's own transport lives in testkit, so core's tests need no testkit.
  [/^core$/, level([/^contracts$/], [])],
  [/^testkit$/, level([/^contracts$/, /^core$/], [])],
  [/^broker$/, level([/^contracts$/, /^core$/], [/^testkit$/])],
  // What is done to bodies is proved together, over a broker that keeps them.
  [
    /^wire\/security$/,
    level([/^core$/], [/^contracts$/, /^testkit$/, /^broker$/, /^(codecs|wire)\//]),
  ],
  // What a store keeps, or a capture publishes, is proved over a broker that survives its process.
  [/^(captures|stores)\//, level([/^contracts$/, /^core$/], [/^testkit$/, /^broker$/])],
  [adapters, level([/^contracts$/, /^core$/], [/^testkit$/])],
  [/^waybill$/, level([/^contracts$/, /^core$/, /^broker$/], [/^testkit$/])],
  [/^tools\//, level([/^contracts$/, /^core$/, /^broker$/, /^waybill$/, adapters], [/^testkit$/])],
  [/^examples\/|^benchmarks$/, { sees: published, testsSee: published, runsInBrowsers: false }],
];

function level(
  sees: readonly RegExp[],
  testsSee: readonly RegExp[],
  { runsInBrowsers = false } = {},
): Level {
  return {
    sees: (other) => sees.some((pattern) => pattern.test(other)),
    testsSee: (other) => testsSee.some((pattern) => pattern.test(other)),
    runsInBrowsers,
  };
}

/** All violations under a repository's root, in the order of files and lines. */
export function checkRooms(repository: string): {
  readonly violations: readonly Violation[];
  readonly files: number;
} {
  const { rooms, homeless } = readRooms(repository);
  const files = rooms.flatMap((room) => filesOf(repository, room));
  const checker = new Checker(repository, rooms);
  return {
    violations: [...homeless, ...files.flatMap((file) => checker.check(file))],
    files: files.length,
  };
}

function readRooms(repository: string): { rooms: readonly Room[]; homeless: readonly Violation[] } {
  const patterns = readPackage(repository).workspaces ?? [];
  const rooms: Room[] = [];
  const homeless: Violation[] = [];
  for (const path of globSync([...patterns], { cwd: repository })
    .map(slashed)
    .toSorted()) {
    if (!existsSync(join(repository, path, "package.json"))) continue;
    const found = levels.find(([pattern]) => pattern.test(path))?.[1];
    if (found === undefined)
      homeless.push({
        place: path,
        message: "has no place in the direction. Add it in scripts/rooms.ts.",
      });
    else rooms.push({ path, package: readPackage(join(repository, path)), level: found });
  }
  return { rooms, homeless };
}

function filesOf(repository: string, room: Room): readonly File[] {
  return globSync(`${room.path}/**/*.{ts,tsx,mts,js,mjs}`, {
    cwd: repository,
    exclude: (path) => /(^|[\\/])(node_modules|dist|data)$/.test(path),
  })
    .map(slashed)
    .toSorted()
    .map((path) => ({ room, path, isTest: isTestFile(path) }));
}

function isTestFile(path: string): boolean {
  return /\.(test|fixture)\.|\/fixtures\//.test(path);
}

class Checker {
  readonly #repository: string;
  readonly #byName: ReadonlyMap<string, Room>;
  /** What the repository's own package.json offers to every test. */
  readonly #sharedTools: ReadonlySet<string>;

  constructor(repository: string, rooms: readonly Room[]) {
    this.#repository = repository;
    this.#byName = new Map(rooms.map((room) => [room.package.name, room]));
    this.#sharedTools = new Set(Object.keys(readPackage(repository).devDependencies ?? {}));
  }

  check(file: File): readonly Violation[] {
    const text = readFileSync(join(this.#repository, file.path), "utf8");
    return importsOf(file.path, text).flatMap((found) => {
      const message = this.#fault(file, found);
      return message === undefined ? [] : [{ place: `${file.path}:${found.line}`, message }];
    });
  }

  #fault(file: File, { specifier }: Import): string | undefined {
    if (specifier === undefined) {
      if (file.path === loadsByName) return undefined;
      const checked = published(file.room.path) && !file.isTest;
      return checked
        ? "computes what it imports. Write the name as text, so that it can be checked."
        : undefined;
    }
    const fault = this.#faultOf(file, specifier);
    return fault === undefined ? undefined : `imports "${specifier}": ${fault}`;
  }

  #faultOf(file: File, specifier: string): string | undefined {
    if (specifier.startsWith(".")) return faultOfPath(file, specifier);
    if (specifier.startsWith("/") || specifier.startsWith("file:"))
      return "an absolute path works on one machine only.";
    if (isBuiltin(specifier)) {
      const forbidden = file.room.level.runsInBrowsers && !file.isTest;
      return forbidden
        ? `${file.room.path} runs in browsers, where Node's modules are missing.`
        : undefined;
    }
    const target = this.#byName.get(packageOf(specifier));
    const fault = target === undefined ? undefined : faultOfRoom(file, target, specifier);
    return fault ?? this.#faultOfDeclaration(file, packageOf(specifier));
  }

  #faultOfDeclaration(file: File, name: string): string | undefined {
    const { dependencies, peerDependencies, optionalDependencies, devDependencies } =
      file.room.package;
    const shipped = { ...dependencies, ...peerDependencies, ...optionalDependencies };
    if (Object.hasOwn(shipped, name)) return undefined;
    const tools = Object.hasOwn(devDependencies ?? {}, name) || this.#sharedTools.has(name);
    if (file.isTest && tools) return undefined;
    const where = `${file.room.path}/package.json`;
    if (tools)
      return `"${name}" is declared for tests only; move it to "dependencies" of ${where}.`;
    return `"${name}" is not declared. Add it to "${file.isTest ? "devDependencies" : "dependencies"}" of ${where}.`;
  }
}

function faultOfPath(file: File, specifier: string): string | undefined {
  const target = slashed(join(dirname(file.path), specifier));
  if (relative(file.room.path, target).startsWith(".."))
    return `leaves the room "${file.room.path}". Import the other room's package by its name.`;
  if (!file.isTest && isTestFile(target)) return "a source must not need a test.";
  return undefined;
}

function faultOfRoom(file: File, target: Room, specifier: string): string | undefined {
  const { room } = file;
  if (target.path === room.path)
    return "a room does not import itself by name; use a relative path.";
  const subpath = specifier.replace(target.package.name, ".");
  if (!Object.hasOwn(target.package.exports ?? {}, subpath))
    return `the inside of ${target.path}. Import what its package.json exports.`;
  if (room.level.sees(target.path) || (file.isTest && room.level.testsSee(target.path)))
    return undefined;
  if (room.level.testsSee(target.path)) return `only tests of ${room.path} may see ${target.path}.`;
  return `against the direction: ${room.path} must not know ${target.path}.`;
}

if (import.meta.main) {
  const { violations, files } = checkRooms(root);
  for (const { place, message } of violations) console.error(`${place} ${message}`);
  if (violations.length > 0) {
    console.error(
      `${violations.length} imports against the rules of the rooms (CONTRIBUTING.md, "Rooms").`,
    );
    process.exitCode = 1;
  } else console.log(`Every import of ${files} files keeps the direction of the rooms.`);
}
