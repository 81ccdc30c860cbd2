import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { importsOf } from "./imports.ts";
import { checkRooms } from "./rooms.ts";
import { root } from "./repository.ts";

const exports = { ".": { default: "./dist/index.js" } };
const testkit = { "@waybill/testkit": "0.1.0" };
const inner = { "@waybill/contracts": "0.1.0", "@waybill/core": "0.1.0" };
const client = { amqplib: "2.3.1" };

const packages: Readonly<Record<string, object>> = {
  ".": {
    workspaces: [
      "contracts",
      "core",
      "testkit",
      "broker",
      "waybill",
      "transports/*",
      "tools/*",
      "examples/*",
    ],
    devDependencies: { "fast-check": "4.10.2" },
  },
  contracts: {
    name: "@waybill/contracts",
    exports,
    dependencies: { "@standard-schema/spec": "1.1.0" },
    devDependencies: { zod: "4.6.7" },
  },
  core: {
    name: "@waybill/core",
    exports,
    dependencies: { "@waybill/contracts": "0.1.0" },
    peerDependencies: { "@opentelemetry/api": "1" },
  },
  testkit: { name: "@waybill/testkit", exports, dependencies: inner },
  broker: { name: "@waybill/broker", exports, dependencies: inner, devDependencies: testkit },
  waybill: { name: "waybill", exports, dependencies: { ...inner, "@waybill/broker": "0.1.0" } },
  "transports/rabbitmq": {
    name: "@waybill/rabbitmq",
    exports,
    dependencies: { ...inner, ...client, "@waybill/kafka": "0.1.0" },
    devDependencies: testkit,
  },
  "transports/kafka": { name: "@waybill/kafka", exports, dependencies: inner },
  "tools/cli": { name: "@waybill/cli", exports, dependencies: { ...inner, waybill: "0.1.0" } },
  "examples/shop": {
    name: "@waybill/example-shop",
    private: true,
    dependencies: { waybill: "0.1.0" },
    devDependencies: testkit,
  },
};

/** One planted fault each: the file, its text, and what the check must say about it. */
const violations: readonly (readonly [file: string, text: string, message: RegExp])[] = [
  [
    "contracts/src/up.ts",
    `import { connect } from "@waybill/core";`,
    /against the direction: contracts must not know core/,
  ],
  [
    "core/src/up.ts",
    `export * from "@waybill/broker";`,
    /against the direction: core must not know broker/,
  ],
  ["core/src/type.ts", `import type { Embedded } from "@waybill/broker";`, /against the direction/],
  [
    "core/src/lazy.ts",
    `export const lazy = () => import("@waybill/broker");`,
    /against the direction/,
  ],
  [
    "core/src/inline.ts",
    `export type Inline = import("@waybill/broker").Embedded;`,
    /against the direction/,
  ],
  [
    "core/src/a.test.ts",
    `import { suite } from "@waybill/testkit";`,
    /against the direction: core must not know testkit/,
  ],
  [
    "testkit/src/up.ts",
    `import { embedded } from "@waybill/broker";`,
    /against the direction: testkit must not know broker/,
  ],
  [
    "broker/src/use.ts",
    `import { suite } from "@waybill/testkit";`,
    /only tests of broker may see testkit/,
  ],
  [
    "transports/rabbitmq/src/sibling.ts",
    `import { kafka } from "@waybill/kafka";`,
    /against the direction: transports\/rabbitmq must not know transports\/kafka/,
  ],
  [
    "waybill/src/more.ts",
    `export * from "@waybill/rabbitmq";`,
    /against the direction: waybill must not know transports\/rabbitmq/,
  ],
  [
    "tools/cli/src/inside.ts",
    `import { step } from "@waybill/core/src/pipeline.ts";`,
    /the inside of core/,
  ],
  [
    "examples/shop/src/inside.ts",
    `import { broker } from "@waybill/broker/dist/index.js";`,
    /the inside of broker/,
  ],
  [
    "broker/src/leaves.ts",
    `import { bus } from "../../core/src/bus.ts";`,
    /leaves the room "broker"/,
  ],
  [
    "core/src/deep/leaves.ts",
    `import { bus } from "../../../broker/src/log.ts";`,
    /leaves the room "core"/,
  ],
  ["core/src/self.ts", `import { bus } from "@waybill/core";`, /does not import itself by name/],
  [
    "core/src/needs.ts",
    `import { fixture } from "./bus.test.ts";`,
    /a source must not need a test/,
  ],
  ["contracts/src/node.ts", `import { readFileSync } from "node:fs";`, /runs in browsers/],
  ["contracts/src/tool.ts", `import * as z from "zod";`, /"zod" is declared for tests only/],
  [
    "core/src/undeclared.ts",
    `import amqp from "amqplib";`,
    /"amqplib" is not declared. Add it to "dependencies" of core\/package.json/,
  ],
  ["core/src/undeclared.test.ts", `import amqp from "amqplib";`, /Add it to "devDependencies"/],
  ["broker/src/random.ts", `import fc from "fast-check";`, /declared for tests only/],
  [
    "core/src/computed.ts",
    `export const load = (name: string) => import(name);`,
    /computes what it imports/,
  ],
  ["core/src/absolute.ts", `import "/opt/core.ts";`, /an absolute path works on one machine only/],
];

const allowed: Readonly<Record<string, string>> = {
  "contracts/src/index.ts": `import type { StandardSchemaV1 } from "@standard-schema/spec"; export type S = StandardSchemaV1;`,
  "contracts/src/index.test.ts": `import * as z from "zod"; import test from "node:test"; import fc from "fast-check";`,
  "core/src/index.ts": `export * from "./deep/bus.ts"; import type { C } from "@waybill/contracts"; import { readFileSync } from "node:fs";`,
  "core/src/deep/bus.ts": `import "../index.ts"; const lazy = () => import("@opentelemetry/api");`,
  "broker/src/index.ts": `import type { C } from "@waybill/contracts"; import { connect } from "@waybill/core";`,
  "broker/src/index.test.ts": `import { suite } from "@waybill/testkit"; const name = "x"; await import(name);`,
  "waybill/src/index.ts": `export * from "@waybill/broker"; export * from "@waybill/core";`,
  "transports/rabbitmq/src/index.ts": `import amqp from "amqplib"; import { connect } from "@waybill/core";`,
  "tools/cli/src/index.ts": `import { connect } from "waybill";`,
  "examples/shop/src/main.ts": `import { connect } from "waybill";`,
  "examples/shop/src/main.test.ts": `import { testBus } from "@waybill/testkit";`,
  "core/src/text.ts": `// import { x } from "@waybill/broker";\nexport const text = 'import "@waybill/broker"';`,
};

describe("the direction of the rooms", () => {
  let folder = "";

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "waybill-rooms-"));
    for (const [path, content] of Object.entries(packages))
      write(`${path}/package.json`, JSON.stringify(content));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test("lets through what keeps the direction", () => {
    for (const [path, text] of Object.entries(allowed)) write(path, text);
    const { violations: found, files } = checkRooms(folder);
    assert.deepEqual(found, []);
    assert.equal(files, Object.keys(allowed).length);
  });

  for (const [path, text, message] of violations)
    test(`catches in ${path}: ${text}`, () => {
      for (const [other, source] of Object.entries(allowed)) write(other, source);
      write(path, `// A line before.\n${text}`);
      const { violations: found } = checkRooms(folder);
      assert.equal(found.length, 1, JSON.stringify(found));
      assert.equal(found[0]?.place, `${path}:2`);
      assert.match(found[0]?.message ?? "", message);
    });

  test("catches a room that has no place", () => {
    write("package.json", JSON.stringify({ workspaces: ["attic"] }));
    write("attic/package.json", JSON.stringify({ name: "attic" }));
    assert.match(checkRooms(folder).violations[0]?.message ?? "", /has no place in the direction/);
  });

  test("reads neither dist nor node_modules", () => {
    write("core/dist/index.js", `import "@waybill/broker";`);
    write("core/node_modules/x/index.js", `import "@waybill/broker";`);
    assert.deepEqual(checkRooms(folder), { violations: [], files: 0 });
  });

  function write(path: string, text: string): void {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
});

test("this repository keeps the direction of its rooms", () => {
  assert.deepEqual(checkRooms(root).violations, []);
});

test("importsOf refuses a file that does not parse, so that nothing hides in it", () => {
  assert.throws(() => importsOf("broken.ts", "import from from;;; {"), SyntaxError);
});
