/**
 * Time, chance and identity come from the `Environment` port. This rule reports every other way to get them.
 * `.oxlintrc.json` says which files are excepted, and why.
 */

interface Node {
  readonly type: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- oxlint hands over plain ESTree objects without types.
  readonly [field: string]: any;
}

interface RuleContext {
  readonly sourceCode: { isGlobalReference(node: Node): boolean };
  report(finding: { readonly node: Node; readonly message: string }): void;
}

type Visitor = Readonly<Record<string, (node: Node) => void>>;

const timerGlobals = new Set(["setTimeout", "setInterval", "setImmediate"]);
const members: Readonly<Record<string, readonly string[]>> = {
  Date: ["now"],
  performance: ["now", "timeOrigin"],
  Math: ["random"],
  AbortSignal: ["timeout"],
  process: ["hrtime"],
};
/** Reported on any object: `crypto`, `webcrypto`, `globalThis.crypto`, a namespace import. */
const membersOfAnything = new Set(["randomUUID", "getRandomValues"]);
const timerModules = new Set(["timers", "timers/promises"]);
const globalObjects = new Set(["globalThis", "global", "window", "self"]);

export const environment: { readonly create: (context: RuleContext) => Visitor } = {
  create(context) {
    const isGlobal = (node: Node): boolean =>
      node.type === "Identifier" && context.sourceCode.isGlobalReference(node);
    const report = (node: Node, found: string): void =>
      context.report({
        node,
        message: `${found} hides time or chance from tests: ${advice(found)}`,
      });

    return {
      Identifier: (node) => {
        const name = node["name"] as string;
        const isType = node["parent"]?.type === "TSTypeQuery";
        if (timerGlobals.has(name) && !isType && isGlobal(node)) report(node, name);
      },
      MemberExpression: (node) => {
        const found = forbiddenMember(node, isGlobal);
        if (found !== undefined) report(node, found);
      },
      NewExpression: (node) => {
        if (isDate(node, isGlobal) && node["arguments"].length === 0) report(node, "new Date()");
      },
      CallExpression: (node) => {
        if (isDate(node, isGlobal)) report(node, "Date()");
      },
      ImportDeclaration: (node) => {
        for (const found of forbiddenImports(node)) report(node, found);
      },
      ExportNamedDeclaration: (node) => {
        for (const found of forbiddenImports(node)) report(node, found);
      },
      VariableDeclarator: (node) => {
        for (const found of forbiddenPattern(node, isGlobal)) report(node, found);
      },
    };
  },
};

function advice(found: string): string {
  if (/Timeout|Interval|Immediate|timers|timeout/.test(found)) return "use environment.timers.";
  if (/UUID|getRandomValues|random[A-Z]/.test(found)) return "use environment.id().";
  if (found.includes("random")) return "use environment.random().";
  return "use environment.clock.";
}

function isDate(node: Node, isGlobal: (node: Node) => boolean): boolean {
  const callee = node["callee"] as Node;
  return (
    (isGlobal(callee) && callee["name"] === "Date") || globalMember(callee, isGlobal) === "Date"
  );
}

function forbiddenMember(node: Node, isGlobal: (node: Node) => boolean): string | undefined {
  const property = propertyName(node);
  if (property === undefined) return undefined;
  if (membersOfAnything.has(property)) return property;
  if (timerGlobals.has(property) && globalMember(node, isGlobal) !== undefined) return property;
  const object = node["object"] as Node;
  const owner = isGlobal(object) ? (object["name"] as string) : globalMember(object, isGlobal);
  if (owner === undefined || !Object.hasOwn(members, owner)) return undefined;
  return members[owner]?.includes(property) === true ? `${owner}.${property}` : undefined;
}

/** `const { now } = Date`, `const { setTimeout: later } = globalThis`. */
function forbiddenPattern(node: Node, isGlobal: (node: Node) => boolean): string[] {
  const { id, init } = node as unknown as { readonly id: Node; readonly init: Node | null };
  if (id.type !== "ObjectPattern" || init === null || !isGlobal(init)) return [];
  const owner = init["name"] as string;
  const names = (id["properties"] as readonly Node[]).map(
    (property) => property["key"]?.name as string,
  );
  return names
    .filter((name) =>
      globalObjects.has(owner)
        ? timerGlobals.has(name)
        : Object.hasOwn(members, owner) && members[owner]?.includes(name) === true,
    )
    .map((name) => (globalObjects.has(owner) ? name : `${owner}.${name}`));
}

/** The property read from the global object: `globalThis.Date` answers `Date`. */
function globalMember(node: Node, isGlobal: (node: Node) => boolean): string | undefined {
  if (node.type !== "MemberExpression") return undefined;
  const object = node["object"] as Node;
  return isGlobal(object) && globalObjects.has(object["name"] as string)
    ? propertyName(node)
    : undefined;
}

function propertyName(node: Node): string | undefined {
  const property = node["property"] as Node;
  if (node["computed"] !== true) return property["name"] as string;
  return property.type === "Literal" ? String(property["value"]) : undefined;
}

function forbiddenImports(node: Node): string[] {
  const source = String(node["source"]?.value ?? "").replace(/^node:/, "");
  if (node["importKind"] === "type") return [];
  if (timerModules.has(source)) return [`node:${source}`];
  const names = ((node["specifiers"] ?? []) as readonly Node[]).map(
    (specifier) => (specifier["imported"] ?? specifier["local"])?.name as string | undefined,
  );
  return names
    .filter((name) => name !== undefined)
    .filter((name) => isForbiddenExport(source, name));
}

function isForbiddenExport(source: string, name: string): boolean {
  if (source === "crypto")
    return name.startsWith("random") || name === "getRandomValues" || name === "webcrypto";
  if (source === "perf_hooks") return name === "performance";
  return source === "process" && name === "hrtime";
}
