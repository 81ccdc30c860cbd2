import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { blocksOf } from "./markdown.ts";
import { isExpectedOutput, planDocument } from "./snippets-plan.ts";
import { checkDocuments, documents } from "./snippets.ts";

/** A fence, written so that this file's own backticks stay readable. */
function fence(info: string, text: string): string {
  return `\`\`\`${info}\n${text}\n\`\`\`\n`;
}

describe("blocksOf", () => {
  test("reads language, tags, text and line", () => {
    const [block] = blocksOf(`# Title\n\n${fence('ts title="a.ts" run', "const a = 1;\n\na;")}`);
    assert.deepEqual(block, {
      language: "ts",
      tags: { title: "a.ts", run: true },
      text: "const a = 1;\n\na;",
      line: 3,
    });
  });

  test("reads fences without info, in lists, of tildes and of more backticks", () => {
    const markdown = [
      fence("", "plain"),
      "- item\n\n  ```ts run\n  first();\n    second();\n  ```\n",
      "~~~sh run\necho ```\n~~~\n",
      "````md\n```ts\nnot a block of its own\n```\n````\n",
    ].join("\n");
    assert.deepEqual(
      blocksOf(markdown).map(({ language, text }) => [language, text]),
      [
        ["", "plain"],
        ["ts", "first();\n  second();"],
        ["sh", "echo ```"],
        ["md", "```ts\nnot a block of its own\n```"],
      ],
    );
  });

  test("takes an unclosed fence to the end, and inline code for no fence", () => {
    assert.deepEqual(blocksOf("``` in a line ``` is code\n").length, 0);
    assert.equal(blocksOf("```ts run\nlast();")[0]?.text, "last();");
  });

  test("keeps equals signs and spaces within quotes", () => {
    assert.deepEqual(blocksOf(fence('ts ignore="a = b, later"', ""))[0]?.tags, {
      ignore: "a = b, later",
    });
  });
});

describe("planDocument", () => {
  test("collects files per project, appends, and keeps the order of the runs", () => {
    const plan = planDocument(
      [
        fence('ts title="contracts.ts"', "export const a = 1;"),
        fence('ts title="main.ts" run', 'import { a } from "./contracts.ts";'),
        fence("text", "one"),
        fence('ts title="contracts.ts" append', "export const b = 2;"),
        fence("sh run", "ls"),
        fence("sh", "npm publish"),
        fence('ts title="main.ts" project="other"', "export {};"),
        fence("json", "{}"),
      ].join("\n"),
    );
    assert.deepEqual(plan.faults, []);
    const [main, other] = plan.projects;
    assert.deepEqual(main?.files[0], {
      path: "contracts.ts",
      text: "export const a = 1;\nexport const b = 2;\n",
      lines: [2, 14],
    });
    assert.deepEqual(
      main?.steps.map(({ kind, run, expected }) => [kind, run, expected]),
      [
        ["ts", "main.ts", "one"],
        ["sh", "ls", undefined],
      ],
    );
    assert.equal(other?.name, "other");
  });

  const faulty: readonly (readonly [what: string, markdown: string, message: RegExp])[] = [
    ["an untagged block", fence("ts", "x"), /A ts block is checked/],
    ["an ignored block without a reason", fence("ts ignore", "x"), /says why/],
    ["an unknown tag", fence("ts rum", "x"), /Unknown tag "rum"/],
    ["a longer name of the language", fence("typescript run", "x"), /Write `ts`/],
    ["a title outside", fence('ts title="../x.ts"', "x"), /relative path/],
    ["an absolute title", fence('ts title="/x.ts"', "x"), /relative path/],
    [
      "a title twice",
      fence('ts title="x.ts"', "x") + fence('ts title="x.ts"', "x"),
      /stands above already/,
    ],
    ["an append to nothing", fence('ts title="x.ts" append', "x"), /Nothing to append to/],
    ["an append without a title", fence("ts run append", "x"), /append needs a title/],
  ];
  for (const [what, markdown, message] of faulty)
    test(`refuses ${what}`, () => {
      const { faults } = planDocument(markdown);
      assert.equal(faults.length, 1);
      assert.match(faults[0]?.message ?? "", message);
    });
});

test("isExpectedOutput takes … for any text in a line, and alone for any lines", () => {
  const cases: readonly (readonly [expected: string, printed: string, fits: boolean])[] = [
    ["one\ntwo", "one\ntwo\n\n", true],
    ["one", "one two", false],
    ["one (1.5)", "one (1x5)", false],
    ["took … ms", "took 12 ms", true],
    ["took … ms", "took 12\n ms", false],
    ["first\n…\nlast", "first\na\nb\nlast\n", true],
    ["first\n…\nlast", "first\nlast\n", true],
    ["…\nlast", "last\nmore", false],
  ];
  for (const [expected, printed, fits] of cases)
    assert.equal(isExpectedOutput(expected, printed), fits, `${expected} / ${printed}`);
});

describe("checkDocuments", () => {
  test("compiles, runs and compares", () => {
    const { faults, files, runs } = check(
      [
        fence('ts title="value.ts"', "export const value: number = 41;"),
        fence("ts run", 'import { value } from "./value.ts";\nconsole.log(`value ${value + 1}`);'),
        fence("text", "value 42"),
        fence("ts check", "// @ts-expect-error\nexport const wrong: number = 'text';"),
        fence("sh run", "echo from the shell; node value.ts"),
        fence("text", "from …"),
        fence('ts ignore="a sketch"', "this is no code"),
      ].join("\n"),
    );
    assert.deepEqual(faults, []);
    assert.deepEqual([files, runs], [3, 2]);
  });

  test("resolves this repository's packages to their sources", () => {
    const source =
      'import { command } from "@waybill/contracts";\nconsole.log(command("a.b", { input: z.string() }).queue);';
    const { faults } = check(
      fence("ts run", `import * as z from "zod";\n${source}`) + fence("text", "a.b"),
    );
    assert.deepEqual(faults, []);
  });

  const faulty: readonly (readonly [
    what: string,
    markdown: string,
    line: number,
    message: RegExp,
  ])[] = [
    [
      "a type error, at its own line",
      `Text.\n\n${fence("ts check", "export {};\nexport const x: number = 'text';")}`,
      5,
      /TS2322/,
    ],
    [
      "an error that no longer is one",
      fence("ts check", "// @ts-expect-error\nexport const x = 1;"),
      2,
      /TS2578/,
    ],
    [
      "other output",
      fence("ts run", "console.log(1);") + fence("text", "2"),
      1,
      /printed\n1\n\nwhile the document shows\n2/,
    ],
    [
      "a run that fails",
      fence("ts run", "throw new Error('broken');"),
      1,
      /ended with 1:[^]*broken/,
    ],
    ["a shell that fails", fence("sh run", "false; echo never"), 1, /ended with 1/],
  ];
  for (const [what, markdown, line, message] of faulty)
    test(`catches ${what}`, () => {
      const { faults } = check(markdown);
      assert.equal(faults.length, 1, JSON.stringify(faults));
      assert.equal(faults[0]?.line, line);
      assert.match(faults[0]?.message ?? "", message);
    });

  function check(markdown: string): ReturnType<typeof checkDocuments>[number] {
    const folder = mkdtempSync(join(tmpdir(), "waybill-documents-"));
    try {
      writeFileSync(join(folder, "a.md"), markdown);
      const [report] = checkDocuments(["a.md"], folder);
      assert.ok(report);
      return report;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
});

describe("the documents of this repository", () => {
  for (const { document, faults } of checkDocuments(documents()))
    test(`${document} compiles and does what it shows`, () => {
      const lines = faults.map(({ line, message }) => `${document}:${line} ${message}`);
      assert.equal(lines.join("\n"), "");
    });
});
