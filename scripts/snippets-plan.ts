import { posix } from "node:path";
import { type Block, blocksOf } from "./markdown.ts";

/** A document's blocks as files to write and steps to run. */
export interface Plan {
  readonly projects: readonly Project[];
  readonly faults: readonly Fault[];
}

export interface Fault {
  /** Line in the document, from 1. */
  readonly line: number;
  readonly message: string;
}

/** Files that see each other, in a folder of their own. */
export interface Project {
  readonly name: string;
  readonly files: readonly SnippetFile[];
  readonly steps: readonly Step[];
}

export interface SnippetFile {
  readonly path: string;
  readonly text: string;
  /** For each line of the file, from index 0, the line of the document it came from. */
  readonly lines: readonly number[];
}

export interface Step {
  readonly kind: "ts" | "sh";
  /** The file to run, or the shell's text. */
  readonly run: string;
  readonly inRepository: boolean;
  readonly line: number;
  readonly expected: string | undefined;
}

const tagsOf: Readonly<Record<string, readonly string[]>> = {
  ts: ["title", "run", "check", "append", "project", "ignore"],
  sh: ["run", "in", "project", "ignore"],
  text: ["ignore"],
};
const misspelt: Readonly<Record<string, string>> = { typescript: "ts", bash: "sh", shell: "sh" };
const defaultProject = "main";

export function planDocument(markdown: string): Plan {
  const blocks = blocksOf(markdown);
  const faults: Fault[] = [];
  const drafts = new Map<string, Draft>();
  for (const [index, block] of blocks.entries()) {
    const message = faultOf(block);
    if (message !== undefined) faults.push({ line: block.line, message });
    else if (isUsed(block)) {
      const name = textTag(block, "project") ?? defaultProject;
      const draft = drafts.get(name) ?? new Draft(name);
      drafts.set(name, draft);
      const fault = draft.add(block, expectedOutput(blocks[index + 1]));
      if (fault !== undefined) faults.push({ line: block.line, message: fault });
    }
  }
  return { projects: [...drafts.values()].map((draft) => draft.project()), faults };
}

function faultOf(block: Block): string | undefined {
  const { language, tags } = block;
  const better = misspelt[language];
  if (better !== undefined) return `Write \`${better}\` for \`${language}\`: only it is checked.`;
  const known = tagsOf[language];
  if (known === undefined) return undefined;
  const unknown = Object.keys(tags).find((tag) => !known.includes(tag));
  if (unknown !== undefined)
    return `Unknown tag "${unknown}" on a ${language} block. Known: ${known.join(", ")}.`;
  return language === "ts" ? faultOfTypeScript(block) : undefined;
}

function faultOfTypeScript({ tags }: Block): string | undefined {
  const { title, ignore } = tags;
  if (ignore === true) return 'An ignored block says why: ignore="a sketch of what is planned".';
  if (ignore !== undefined) return undefined;
  if (title === undefined && tags["run"] === undefined && tags["check"] === undefined)
    return 'A ts block is checked: give it title="name.ts", `run` or `check`, or ignore="why".';
  if (title === undefined)
    return tags["append"] === undefined ? undefined : "append needs a title.";
  if (title === true || !isPathInside(title))
    return 'A title is a relative path: title="orders/service.ts".';
  return undefined;
}

function isPathInside(path: string): boolean {
  return (
    /^[\w./-]+\.ts$/.test(path) &&
    posix.normalize(path) === path &&
    !path.startsWith("..") &&
    !path.startsWith("/")
  );
}

function isUsed({ language, tags }: Block): boolean {
  if (tags["ignore"] !== undefined) return false;
  return language === "ts" || (language === "sh" && tags["run"] !== undefined);
}

/** A `text` block that comes next is what the run before it must print. */
function expectedOutput(next: Block | undefined): string | undefined {
  return next?.language === "text" && next.tags["ignore"] === undefined ? next.text : undefined;
}

function textTag(block: Block, name: string): string | undefined {
  const value = block.tags[name];
  return typeof value === "string" ? value : undefined;
}

class Draft {
  readonly #name: string;
  readonly #files = new Map<string, { text: string; lines: number[] }>();
  readonly #steps: Step[] = [];

  constructor(name: string) {
    this.#name = name;
  }

  /** Answers what is wrong with the block. */
  add(block: Block, expected: string | undefined): string | undefined {
    const inRepository = block.tags["in"] === "repository";
    const { line } = block;
    if (block.language === "sh") {
      this.#steps.push({ kind: "sh", run: block.text, inRepository, line, expected });
      return undefined;
    }
    const path = textTag(block, "title") ?? `snippet-${line}.ts`;
    const fault = this.#write(path, block);
    if (block.tags["run"] !== undefined)
      this.#steps.push({ kind: "ts", run: path, inRepository: false, line, expected });
    return fault;
  }

  #write(path: string, block: Block): string | undefined {
    const lines = block.text.split("\n").map((_, index) => block.line + 1 + index);
    const file = this.#files.get(path);
    const appends = block.tags["append"] !== undefined;
    if (file === undefined && appends)
      return `Nothing to append to: no block above has title="${path}".`;
    if (file !== undefined && !appends)
      return `"${path}" stands above already. Add \`append\` to continue it, or project="…" to start afresh.`;
    if (file === undefined) this.#files.set(path, { text: `${block.text}\n`, lines });
    else {
      file.text += `${block.text}\n`;
      file.lines.push(...lines);
    }
    return undefined;
  }

  project(): Project {
    const files = [...this.#files].map(([path, { text, lines }]) => ({ path, text, lines }));
    return { name: this.#name, files, steps: this.#steps };
  }
}

/**
 * Whether a program printed what the document shows. In the document `…` stands for any text within a line,
 * and alone on a line for any number of lines.
 */
export function isExpectedOutput(expected: string, printed: string): boolean {
  const pattern = tidy(expected)
    .split("\n")
    .map((line) => (line.trim() === "…" ? "(?:.*\n)*?" : `${escaped(line)}\n`))
    .join("");
  return new RegExp(`^${pattern}$`).test(`${tidy(printed)}\n`);
}

function tidy(text: string): string {
  return text
    .replace(/\r\n/g, "\n")
    .replace(/[ \t]+$/gm, "")
    .replace(/\n+$/, "");
}

function escaped(line: string): string {
  return line
    .split("…")
    .map((part) => RegExp.escape(part))
    .join(".*");
}
