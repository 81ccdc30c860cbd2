import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, query } from "@waybill/contracts";
import { type WaybillError, aggregate, part, service } from "@waybill/core";
import { testBus } from "./test-bus.ts";

function schema<Value>(): Schema<Value> {
  return {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: (value) =>
        typeof value === "symbol" || value === "invalid"
          ? { issues: [{ message: "is invalid" }] }
          : { value: value as Value },
    },
  };
}

const GetPrice = query("pricing.get-price", { input: schema<string>(), output: schema<number>() });
const GetStock = query("stock.get-stock", { input: schema<string>(), output: schema<number>() });
const GetText = query("catalog.get-text", { input: schema<string>(), output: schema<string>() });
const GetPage = query("page.get-page", { input: schema<string>(), output: schema<unknown>() });

/** Answers after so many milliseconds, or fails. */
interface Plan {
  readonly priceMs?: number;
  readonly stockMs?: number;
  readonly fails?: boolean;
}

function owners({ priceMs = 0, stockMs = 0, fails = false }: Plan, runs: string[] = []) {
  return service("owners")
    .answer(GetPrice, async (sku, { sleep, signal }) => {
      runs.push(`price ${sku}`);
      signal.addEventListener("abort", () => runs.push("price cancelled"));
      await sleep(priceMs);
      return 300;
    })
    .answer(GetStock, async (sku, { sleep }) => {
      runs.push(`stock ${sku}`);
      await sleep(stockMs);
      if (fails) throw new RangeError("planned");
      return 7;
    })
    .answer(GetText, (sku) => `about ${sku}`);
}

const deadlineMs = 500;
const page = service("page", { asks: [GetPrice, GetStock, GetText] }).answer(
  GetPage,
  async (sku, context) => {
    const { values, missing } = await aggregate(
      context,
      {
        price: part(GetPrice, sku),
        stock: part(GetStock, sku, { otherwise: "unknown" }),
        text: part(GetText, sku, { optional: true }),
      },
      { deadlineMs },
    );
    const typed: { price: number; stock: number | "unknown"; text: string | undefined } = values;
    return { ...typed, missing: Object.entries(missing).map(([name, { code }]) => [name, code]) };
  },
);

/** What the page answers, or the code of its error, and when. */
async function asked(plan: Plan, runs?: string[]): Promise<readonly [unknown, number]> {
  await using bus = await testBus([owners(plan, runs), page]);
  const startedAt = bus.environment.clock.now();
  const ended = { at: 0 };
  const answer: Promise<unknown> = bus
    .ask(GetPage, "tea")
    .catch((error: WaybillError) => error.message)
    .finally(() => {
      ended.at = bus.environment.clock.now();
    });
  for (let step = 0; step < 100 && ended.at === 0; step++) await bus.advance(10);
  return [await answer, ended.at - startedAt];
}

test("the answers come together, each asked at once", async () => {
  const [answer, ms] = await asked({ priceMs: 200, stockMs: 200 });
  assert.deepEqual(answer, { price: 300, stock: 7, text: "about tea", missing: [] });
  assert.equal(ms, 200);
});

test("what does not come in time, or fails, is what its policy says, and is named", async () => {
  const [late, ms] = await asked({ stockMs: 5_000 });
  assert.deepEqual(late, {
    price: 300,
    stock: "unknown",
    text: "about tea",
    missing: [["stock", "DEADLINE_EXCEEDED"]],
  });
  assert.equal(ms, deadlineMs);
  const [failed] = await asked({ fails: true });
  assert.deepEqual(Object(failed).missing, [["stock", "ANSWER_FAILED"]]);
});

test("without a part that is required there is no answer", async () => {
  const [answer, ms] = await asked({ priceMs: 5_000 });
  assert.match(String(answer), /pricing\.get-price/);
  assert.equal(ms, deadlineMs);
});

test("when a required part fails, the others are cancelled and nothing more is asked", async () => {
  const runs: string[] = [];
  const eager = service("page", { asks: [GetPrice, GetStock, GetText] }).answer(
    GetPage,
    (sku, context) =>
      aggregate(
        context,
        {
          price: part(GetPrice, sku, { optional: true }),
          stock: part(GetStock, sku),
          text: part(GetText, sku),
        },
        { concurrency: 2 },
      ),
  );
  const world = owners({ priceMs: 9_000, stockMs: 100, fails: true }, runs);
  await using bus = await testBus([world, eager]);
  const answer = assert.rejects(bus.ask(GetPage, "tea"), { code: "ANSWER_FAILED" });
  await bus.advance(200);
  await answer;
  assert.deepEqual(runs, ["price tea", "stock tea", "price cancelled"]);
  assert.deepEqual(bus.handled(GetText), []);
});

test("no more are open than its concurrency says, and the deadline is one for all of them", async () => {
  const slow = service("page", { asks: [GetPrice, GetStock] }).answer(
    GetPage,
    async (_sku, context) => {
      const parts = Object.fromEntries(
        Array.from({ length: 7 }, (_, index) => [
          `p${index}`,
          part(GetPrice, `${index}`, { optional: true }),
        ]),
      );
      const { values, missing } = await aggregate(context, parts, {
        concurrency: 2,
        deadlineMs: 250,
      });
      return {
        answered: Object.values(values).filter((each) => each !== undefined).length,
        missing: Object.keys(missing).toSorted(),
      };
    },
  );
  const runs: string[] = [];
  await using bus = await testBus([owners({ priceMs: 100 }, runs), slow]);
  const answer = bus.ask(GetPage, "tea");
  await bus.advance(99);
  assert.equal(runs.length, 2);
  await bus.advance(500);
  assert.deepEqual(await answer, { answered: 4, missing: ["p4", "p5", "p6"] });
  assert.deepEqual(
    runs.filter((run) => run !== "price cancelled"),
    ["price 0", "price 1", "price 2", "price 3", "price 4", "price 5"],
    "what had no turn was not asked",
  );
});

test("what is wrong with a question is not hidden by a default, and bounds are checked", async () => {
  const Other = query("other.get", { input: schema<string>(), output: schema<number>() });
  const wrong = service("page", { asks: [GetPrice, GetStock] }).answer(
    GetPage,
    async (what, context): Promise<unknown> => {
      switch (what) {
        case "input":
          return aggregate(context, { price: part(GetPrice, "invalid", { optional: true }) });
        case "undeclared":
          // @ts-expect-error it is not declared
          return aggregate(context, { other: part(Other, "tea", { optional: true }) });
        case "none":
          return aggregate(context, {});
        case "concurrency":
          return aggregate(context, { price: part(GetPrice, "tea") }, { concurrency: 0 });
        default:
          // @ts-expect-error the input of a query
          void part(GetPrice, 7);
          return aggregate(context, { price: part(GetPrice, "tea") }, { deadlineMs: 0.5 });
      }
    },
  );
  await using bus = await testBus([owners({}), wrong]);
  for (const [what, message] of [
    ["input", /does not fit/],
    ["undeclared", /does not declare/],
    ["none", /number of parts/],
    ["concurrency", /concurrency/],
    ["deadline", /deadlineMs/],
  ] as const)
    await assert.rejects(bus.ask(GetPage, what), message);
});
