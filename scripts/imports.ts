import { parseSync } from "oxc-parser";

/** One import, re-export, dynamic import or `import("…")` type of a file. */
export interface Import {
  /** What stands between the quotes; undefined when a dynamic import computes it. */
  readonly specifier: string | undefined;
  readonly line: number;
}

/** Every import of a TypeScript or JavaScript file, in the order of the text. Throws on a file that does not parse. */
export function importsOf(path: string, text: string): readonly Import[] {
  const { program, module, errors } = parseSync(path, text);
  const [error] = errors;
  if (error !== undefined) throw new SyntaxError(`${path}: ${error.message}`);
  const found: { specifier: string | undefined; start: number }[] = [];
  for (const { moduleRequest, start } of module.staticImports)
    found.push({ specifier: moduleRequest.value, start });
  for (const { entries, start } of module.staticExports) {
    const specifier = entries.find((entry) => entry.moduleRequest !== null)?.moduleRequest?.value;
    if (specifier !== undefined) found.push({ specifier, start });
  }
  for (const { moduleRequest, start } of module.dynamicImports)
    found.push({ specifier: literal(text.slice(moduleRequest.start, moduleRequest.end)), start });
  for (const type of typeImports(program)) found.push(type);
  return found
    .toSorted((one, other) => one.start - other.start)
    .map(({ specifier, start }) => ({ specifier, line: lineAt(text, start) }));
}

/** `"x"`, `'x'` or `` `x` `` without its quotes; undefined for anything else. */
function literal(expression: string): string | undefined {
  return /^(["'`])([^"'`$\\]*)\1$/.exec(expression.trim())?.[2];
}

/** `import("…").Name` in a type, which the parser's list of imports leaves out. */
function typeImports(node: unknown): { specifier: string; start: number }[] {
  if (typeof node !== "object" || node === null) return [];
  if (Array.isArray(node)) return node.flatMap(typeImports);
  const { type, source, start } = node as {
    readonly type?: unknown;
    readonly source?: { readonly value?: unknown };
    readonly start?: number;
  };
  const inner = Object.values(node).flatMap(typeImports);
  if (type !== "TSImportType" || typeof source?.value !== "string") return inner;
  return [{ specifier: source.value, start: start ?? 0 }, ...inner];
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}

/** `@waybill/core/x` → `@waybill/core`; `zod/v4` → `zod`. */
export function packageOf(specifier: string): string {
  const parts = specifier.split("/");
  return parts.slice(0, specifier.startsWith("@") ? 2 : 1).join("/");
}
