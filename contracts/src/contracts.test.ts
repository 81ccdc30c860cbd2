import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type } from "arktype";
import * as v from "valibot";
import * as z from "zod";
import {
  type Command,
  type Event,
  type Feed,
  type Query,
  type Rule,
  type Schema,
  type Stream,
  type Validation,
  command,
  event,
  feed,
  query,
  stream,
  validate,
} from "./index.ts";

interface Order {
  id: string;
  total: number;
}

/** The same order in three validators. */
const libraries = {
  zod: z.object({ id: z.string(), total: z.number() }),
  valibot: v.object({ id: v.string(), total: v.number() }),
  arktype: type({ id: "string", total: "number" }),
};

const good: Order = { id: "o-1", total: 12 };
const bad = { id: "o-1", total: "twelve" };

for (const [name, order] of Object.entries(libraries) as [string, Schema<Order>][])
  describe(`contracts over ${name}`, () => {
    const place = command("ordering.place-order", { input: order });
    const placed = event("ordering.order-placed", {
      payload: order,
      attributes: (payload) => ({ total: payload.total, vip: payload.total > 100 }),
    });
    const get = query("ordering.get-order", { input: order, output: order });
    const watch = feed("ordering.watch-order", { input: order, item: order, upstream: order });
    const history = stream("ordering.history", { item: order, key: (item) => item.id });

    const schemas: readonly (readonly [what: string, schema: Schema<Order>])[] = [
      ["a command's input", place.input],
      ["an event's payload", placed.payload],
      ["a query's input", get.input],
      ["a query's output", get.output],
      ["a feed's input", watch.input],
      ["a feed's item", watch.item],
      ["a stream's item", history.item],
    ];
    for (const [what, schema] of schemas)
      test(`take and refuse ${what}`, async () => {
        assert.deepEqual(valueOf(await validate(schema, good)), good);
        assert.deepEqual(pathsOf(await validate(schema, bad)), ["total"]);
        assert.equal(pathsOf(await validate(schema, undefined)).length, 1);
      });

    test("check what the caller of a feed sends", async () => {
      assert.ok(watch.upstream);
      assert.deepEqual(valueOf(await validate(watch.upstream, good)), good);
      assert.deepEqual(pathsOf(await validate(watch.upstream, bad)), ["total"]);
    });

    test("carry the kind, the name and what the kind adds", () => {
      assert.deepEqual(
        [place, placed, get, watch, history].map(
          ({ kind, name: contract }) => `${kind} ${contract}`,
        ),
        [
          "command ordering.place-order",
          "event ordering.order-placed",
          "query ordering.get-order",
          "feed ordering.watch-order",
          "stream ordering.history",
        ],
      );
      assert.deepEqual(placed.attributes(good), { total: 12, vip: false });
      assert.equal(history.key(good), "o-1");
    });
  });

describe("contracts of each library's own types", () => {
  test("infer the validated type", () => {
    const byZod = command("a.zod", { input: libraries.zod });
    const byValibot = command("a.valibot", { input: libraries.valibot });
    const byArktype = command("a.arktype", { input: libraries.arktype });
    const all: readonly Command<string, Order>[] = [byZod, byValibot, byArktype];
    assert.equal(all.length, 3);
    // @ts-expect-error -- an order is not a number
    const wrong: Command<string, number> = byZod;
    assert.ok(wrong);
  });

  test("keep literal names", () => {
    const contract: Command<"ordering.place-order", Order> = command("ordering.place-order", {
      input: libraries.zod,
    });
    // @ts-expect-error -- another name
    const other: Command<"ordering.cancel-order", Order> = contract;
    assert.equal(other.name, "ordering.place-order");
  });

  test("show attributes by name and type", () => {
    const placed: Event<string, Order, { total: number }> = event("a.placed", {
      payload: libraries.zod,
      attributes: ({ total }) => ({ total }),
    });
    // @ts-expect-error -- attributes are text, numbers and booleans
    event("a.nested", { payload: libraries.zod, attributes: (order) => ({ order }) });
    assert.deepEqual(placed.attributes(good), { total: 12 });
  });

  test("give a feed without upstream none", () => {
    const watch: Feed<string, Order, Order, never> = feed("a.watch", {
      input: libraries.zod,
      item: libraries.zod,
    });
    assert.equal(watch.upstream, undefined);
  });

  test("tell a query's input from its output", () => {
    const count: Query<string, Order, number> = query("a.count", {
      input: libraries.zod,
      output: z.number(),
    });
    // @ts-expect-error -- input and output the wrong way round
    const swapped: Query<string, number, Order> = count;
    assert.ok(swapped);
  });

  test("type the key of a stream", () => {
    const readings: Stream<string, Order> = stream("a.readings", {
      item: libraries.zod,
      key: ({ id }) => id,
    });
    // @ts-expect-error -- a key is text
    stream("a.numbered", { item: libraries.zod, key: ({ total }) => total });
    assert.equal(readings.key(good), "o-1");
  });
});

describe("the type of rules", () => {
  test("knows the attributes of an event, by name and type, and joins tests of them", () => {
    const rules: readonly Rule<{ region: "EU" | "US"; total: number }>[] = [
      { region: "EU", total: { gt: 100 } },
      { or: [{ region: { in: ["EU", "US"] } }, { not: { total: { lte: 1 } } }] },
      { and: [{ total: { exists: true } }], region: { not: "US" } },
      // @ts-expect-error -- no such attribute
      { area: "EU" },
      // @ts-expect-error -- no such region
      { region: "Mars" },
      // @ts-expect-error -- a number has no prefix
      { total: { prefix: "1" } },
      // @ts-expect-error -- no such attribute further inside
      { or: [{ area: "EU" }] },
    ];
    assert.equal(rules.length, 7);
  });

  test("takes any names where the event is not known", () => {
    const rules: readonly Rule[] = [
      { region: "EU", total: { gt: 100 } },
      { or: [{ region: "EU" }, { and: [{ vip: true }] }], not: { sku: { prefix: "tea" } } },
      // @ts-expect-error -- or takes a list
      { or: { region: "EU" } },
      // @ts-expect-error -- an attribute is text, a number or a boolean
      { region: { eq: null } },
    ];
    assert.equal(rules.length, 4);
  });
});

describe("every contract", () => {
  const input = libraries.zod;
  const factories: Readonly<
    Record<string, (options?: object) => object & { readonly version: number }>
  > = {
    command: (options) => command("a.b", { input, ...options }),
    event: (options) => event("a.b", { payload: input, ...options }),
    query: (options) => query("a.b", { input, output: input, ...options }),
    feed: (options) => feed("a.b", { input, item: input, ...options }),
    stream: (options) => stream("a.b", { item: input, key: () => "k", ...options }),
  };

  for (const [kind, create] of Object.entries(factories)) {
    test(`${kind}: is frozen, version 1 and without upcasters unless it says otherwise`, () => {
      const contract = create();
      assert.ok(Object.isFrozen(contract));
      assert.equal(contract.version, 1);
      assert.deepEqual((contract as { upcasters?: unknown }).upcasters, {});
    });

    test(`${kind}: carries its version and upcasters`, () => {
      const upcasters = {
        1: (older: unknown) => older,
        2: (older: unknown) => ({ ...(older as object), total: 0 }),
      };
      const contract = create({ version: 3, upcasters }) as {
        version: number;
        upcasters: typeof upcasters;
      };
      assert.equal(contract.version, 3);
      assert.deepEqual(contract.upcasters[2]({ id: "o-1" }), { id: "o-1", total: 0 });
    });
  }

  test("names the file and line of its definition", () => {
    const here = lineOf(new Error("here"));
    const contracts = [
      command("a.b", { input }),
      event("a.b", { payload: input }),
      query("a.b", { input, output: input }),
      feed("a.b", { input, item: input }),
      stream("a.b", { item: input, key: () => "k" }),
    ];
    for (const [index, { definedAt }] of contracts.entries()) {
      assert.match(definedAt, /contracts\.test\.ts:\d+:\d+$/);
      assert.equal(lineAt(definedAt), here + 2 + index);
    }
  });

  test("names the place outside any function too, and inside an async one", async () => {
    assert.match(atTopLevel.definedAt, /contracts\.test\.ts:\d+:\d+$/);
    const inside = await (async () => {
      await Promise.resolve();
      return command("a.b", { input });
    })();
    assert.match(inside.definedAt, /contracts\.test\.ts:\d+:\d+$/);
  });

  test("leaves the place empty where the engine keeps no stack", () => {
    const { stackTraceLimit } = Error;
    try {
      Error.stackTraceLimit = 0;
      assert.equal(command("a.b", { input }).definedAt, "");
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
  });

  test("stands on its own address unless it shares one", () => {
    assert.equal(command("a.b", { input }).queue, "a.b");
    assert.equal(command("a.b", { input, queue: "orders" }).queue, "orders");
    assert.equal(event("a.b", { payload: input }).topic, "a.b");
    assert.equal(event("a.b", { payload: input, topic: "orders" }).topic, "orders");
    assert.deepEqual(event("a.b", { payload: input }).attributes(good), {});
  });

  test("has bounds on a stream even when none are given", () => {
    const plain = stream("a.b", { item: input, key: () => "k" });
    assert.equal(plain.partitions, 8);
    assert.deepEqual(plain.retention, { ageMs: 604_800_000 });
    const own = stream("a.b", {
      item: input,
      key: () => "k",
      partitions: 2,
      retention: { bytes: 1_000 },
    });
    assert.deepEqual([own.partitions, own.retention], [2, { bytes: 1_000 }]);
  });
});

const atTopLevel = command("a.top", { input: libraries.zod });

describe("validate", () => {
  test("answers at once for a schema that does, without a promise", () => {
    for (const schema of Object.values(libraries) as Schema<Order>[])
      assert.ok(!(validate(schema, good) instanceof Promise));
  });

  test("waits for a schema that asks somebody", async () => {
    const known = z.string().refine(async (id) => Promise.resolve(id === "o-1"), "unknown order");
    const alsoKnown = v.pipeAsync(
      v.string(),
      v.checkAsync(async (id) => Promise.resolve(id === "o-1"), "unknown order"),
    );
    for (const schema of [known, alsoKnown] as Schema<string>[]) {
      const answer = validate(schema, "o-1");
      assert.ok(answer instanceof Promise);
      assert.equal(valueOf(await answer), "o-1");
      assert.deepEqual(await validate(schema, "o-2"), {
        issues: [{ path: "", message: "unknown order" }],
      });
    }
  });

  test("gives the validated value: defaults, transforms and no surplus", async () => {
    const schema = z.object({ region: z.string().default("EU"), total: z.coerce.number() });
    assert.deepEqual(await validate(schema as Schema, { total: "12", surplus: 1 }), {
      value: { region: "EU", total: 12 },
    });
  });

  test("writes paths dotted, with list positions, empty for the whole", async () => {
    const nested = {
      zod: z.object({ lines: z.array(z.object({ sku: z.string() })) }),
      valibot: v.object({ lines: v.array(v.object({ sku: v.string() })) }),
      arktype: type({ lines: type({ sku: "string" }).array() }),
    };
    for (const schema of Object.values(nested) as Schema[]) {
      const found = await validate(schema, { lines: [{ sku: "a" }, { sku: 2 }] });
      assert.deepEqual(pathsOf(found), ["lines.1.sku"]);
      assert.deepEqual(pathsOf(await validate(schema, null)), [""]);
    }
  });

  test("stops listing after 20 reasons", async () => {
    const many = z.array(z.string());
    assert.equal(
      pathsOf(
        await validate(
          many as Schema,
          Array.from({ length: 500 }, () => 1),
        ),
      ).length,
      20,
    );
  });

  test("lets through what a schema throws, as a rejection when it throws late", async () => {
    const fails = (validateValue: () => never): Schema => ({
      "~standard": { version: 1, vendor: "test", validate: validateValue },
    });
    assert.throws(
      () =>
        validate(
          fails(() => {
            throw new Error("now");
          }),
          1,
        ),
      /now/,
    );
    const late: Schema = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: () => Promise.reject(new Error("late")),
      },
    };
    await assert.rejects(async () => validate(late, 1), /late/);
  });
});

describe("the package", () => {
  const folder = fileURLToPath(new URL(".", import.meta.url));
  const sources = globSync("*.ts", { cwd: folder }).filter((file) => !file.endsWith(".test.ts"));

  test("imports nothing but the types of Standard Schema", () => {
    const imported = sources.flatMap((file) => {
      const text = readFileSync(join(folder, file), "utf8");
      return [...text.matchAll(/^(?:import|export)\b([^;]*?)\bfrom "([^"]+)"/gm)].map(
        ([, clause = "", from = ""]) => ({ clause, from }),
      );
    });
    const foreign = imported.filter(({ from }) => !from.startsWith("./"));
    assert.deepEqual([...new Set(foreign.map(({ from }) => from))], ["@standard-schema/spec"]);
    assert.ok(
      foreign.every(({ clause }) => clause.trim().startsWith("type ")),
      "only types, so that nothing is loaded",
    );
  });

  test("compiles without Node's types and without the DOM: only the language itself", () => {
    const place = mkdtempSync(join(tmpdir(), "waybill-contracts-"));
    try {
      const compilerOptions = {
        types: [],
        lib: ["esnext"],
        noEmit: true,
        composite: false,
        rootDir: "/",
      };
      const config = {
        extends: join(folder, "../../tsconfig.base.json"),
        compilerOptions,
        files: sources.map((file) => join(folder, file)),
      };
      writeFileSync(join(place, "tsconfig.json"), JSON.stringify(config));
      const tsc = fileURLToPath(new URL("../../node_modules/typescript/bin/tsc", import.meta.url));
      const result = spawnSync(process.execPath, [tsc, "-p", place], { encoding: "utf8" });
      assert.equal(result.stdout, "");
      assert.equal(result.status, 0);
    } finally {
      rmSync(place, { recursive: true, force: true });
    }
  });

  test("works where Error.captureStackTrace and process are missing", () => {
    const entry = JSON.stringify(new URL("index.ts", import.meta.url).href);
    const program = `
      const { command } = await import(${entry});
      delete globalThis.process; delete globalThis.Buffer; delete Error.captureStackTrace;
      const schema = { "~standard": { version: 1, vendor: "test", validate: (value) => ({ value }) } };
      console.log(command("a.b", { input: schema }).queue);`;
    const args = ["--conditions=@waybill/source", "--input-type=module", "--eval", program];
    const result = spawnSync(process.execPath, args, { encoding: "utf8" });
    assert.equal(result.stdout, "a.b\n", result.stderr);
  });
});

function valueOf(validation: Validation<unknown>): unknown {
  assert.ok("value" in validation, JSON.stringify(validation));
  return validation.value;
}

function pathsOf(validation: Validation<unknown>): string[] {
  assert.ok("issues" in validation, "expected issues");
  for (const { message } of validation.issues) assert.ok(message.length > 0);
  return validation.issues.map(({ path }) => path);
}

function lineOf(error: Error): number {
  return lineAt(/\(?([^\s()]+:\d+:\d+)\)?$/m.exec(error.stack ?? "")?.[1] ?? "");
}

function lineAt(place: string): number {
  return Number(/:(\d+):\d+$/.exec(place)?.[1]);
}
