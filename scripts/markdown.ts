/** Reads the fenced blocks of a Markdown document. CONTRIBUTING.md, "Snippets", is the convention. */

export interface Block {
  /** First word after the fence: `ts`, `sh`, `text`; empty when there is none. */
  readonly language: string;
  /** `run`, `title="main.ts"`, `ignore="why"`: flags have the value `true`. */
  readonly tags: Readonly<Record<string, string | true>>;
  readonly text: string;
  /** Line of the opening fence, from 1. */
  readonly line: number;
}

/** Indentation or a list bullet, the fence, the info string. */
const opening = /^([ \t]*(?:(?:[-*+]|\d+[.)])[ \t]+)?)(`{3,}|~{3,})[ \t]*([^`]*)$/;

export function blocksOf(markdown: string): readonly Block[] {
  const lines = markdown.split(/\r?\n/);
  const blocks: Block[] = [];
  for (let index = 0; index < lines.length; index++) {
    const fence = fenceAt(lines[index] ?? "");
    if (fence === undefined) continue;
    const end = closingLine(lines, index + 1, fence.marker);
    blocks.push({
      ...readInfo(fence.info),
      text: lines
        .slice(index + 1, end)
        .map((line) => unindented(line, fence.indent))
        .join("\n"),
      line: index + 1,
    });
    index = end;
  }
  return blocks;
}

interface Fence {
  readonly indent: number;
  readonly marker: string;
  readonly info: string;
}

function fenceAt(line: string): Fence | undefined {
  const match = opening.exec(line);
  if (match === null) return undefined;
  return { indent: (match[1] ?? "").length, marker: match[2] ?? "", info: match[3] ?? "" };
}

/** The line that closes a fence, or the end of the document: so reads CommonMark. */
function closingLine(lines: readonly string[], from: number, marker: string): number {
  for (let index = from; index < lines.length; index++) {
    const line = (lines[index] ?? "").trim();
    if (line.startsWith(marker) && line.replaceAll(marker.charAt(0), "") === "") return index;
  }
  return lines.length;
}

function unindented(line: string, indent: number): string {
  const blank = /^[ \t]*/.exec(line)?.[0].length ?? 0;
  return line.slice(Math.min(indent, blank));
}

function readInfo(info: string): Pick<Block, "language" | "tags"> {
  const language = /^[^\s=]+/.exec(info.trim())?.[0] ?? "";
  const rest = info.trim().slice(language.length);
  const tags: Record<string, string | true> = {};
  for (const [, name, value] of rest.matchAll(/([\w-]+)(?:="([^"]*)")?/g))
    if (name !== undefined) tags[name] = value ?? true;
  return { language, tags };
}
