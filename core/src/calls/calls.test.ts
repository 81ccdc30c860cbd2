import assert from "node:assert/strict";
import { test } from "node:test";
import { command, event, feed, query } from "@waybill/contracts";
import * as z from "zod";
import type { Envelope, Header } from "../envelope.ts";
import { WaybillError } from "../errors.ts";
import { type MemoryBroker, memory } from "../memory/index.ts";
import type { Transport } from "../ports/transport.ts";
import { service } from "../service.ts";
import {
  type ManualEnvironment,
  envelopeOf,
  foreigner,
  framesAt,
  gate,
  manualEnvironment,
  recordingLogger,
  tested,
  turns,
  until,
  watched,
} from "../testing.fixture.ts";

const Sku = z.object({ sku: z.string() });
const Price = z.object({ cents: z.number() });
const GetPrice = query("pricing.get-price", { input: Sku, output: Price });
const caller = service("caller", { asks: [GetPrice] });

for (const localCalls of [true, false]) {
  const way = localCalls ? "in the process" : "over the transport";

  test(`a query is answered ${way}, both sides checked`, async () => {
    await using it = await tested(
      [caller, service("pricing").answer(GetPrice, ({ sku }) => ({ cents: sku.length }))],
      { localCalls },
    );
    assert.deepEqual(await it.bus.ask(GetPrice, { sku: "tea" }), { cents: 3 });
    await assert.rejects(it.bus.ask(GetPrice, { sku: 3 } as never), { code: "MESSAGE_INVALID" });
  });

  test(`an owner that throws answers with its message and without its stack ${way}`, async () => {
    const pricing = service("pricing").answer(GetPrice, () => {
      throw new Error("no price list");
    });
    await using it = await tested([caller, pricing], { localCalls });
    await assert.rejects(it.bus.ask(GetPrice, { sku: "tea" }), (error: WaybillError) => {
      assert.equal(error.code, "ANSWER_FAILED");
      assert.match(error.message, /"pricing.get-price" failed on the other side: no price list/);
      assert.equal(error.details["code"], "HANDLER_FAILED");
      assert.equal(error.retryable, true, "an unknown error may be over the next time");
      return true;
    });
    assert.ok(
      it.logger.lines.some(({ fields }) => String(fields["stack"]).includes("calls.test.ts")),
      "the owner's log has the stack",
    );
    assert.equal((await it.counted("pricing.get-price"))["failed"], 1);
  });

  test(`what the other side judged permanent is permanent for the caller ${way}`, async () => {
    const pricing = service("pricing").answer(GetPrice, () => {
      throw new TypeError("bug");
    });
    await using it = await tested([caller, pricing], { localCalls });
    await assert.rejects(it.bus.ask(GetPrice, { sku: "tea" }), {
      code: "ANSWER_FAILED",
      retryable: false,
    });
  });

  for (const [name, thrown] of [
    ["undefined", () => undefined],
    [
      "details that no codec writes",
      () => new WaybillError("NOT_FOUND", "no such sku", { details: { big: 1n } }),
    ],
    [
      "a proxy that refuses everything",
      () =>
        new Proxy(
          {},
          {
            get: () => {
              throw new Error("no");
            },
            getPrototypeOf: () => {
              throw new Error("no");
            },
          },
        ),
    ],
  ] as const) {
    test(`an owner that throws ${name} is still answered for ${way}`, async () => {
      const pricing = service("pricing").answer(GetPrice, () => {
        // oxlint-disable-next-line typescript/only-throw-error -- that is the point
        throw thrown();
      });
      await using it = await tested([caller, pricing], { localCalls });
      await assert.rejects(it.bus.ask(GetPrice, { sku: "tea" }), { code: "ANSWER_FAILED" });
    });
  }

  test(`an answer that breaks its contract is the owner's failure ${way}`, async () => {
    const pricing = service("pricing").answer(GetPrice, (() => ({ cents: "3" })) as never);
    await using it = await tested([caller, pricing], { localCalls });
    await assert.rejects(it.bus.ask(GetPrice, { sku: "tea" }), (error: WaybillError) => {
      assert.equal(error.code, "ANSWER_FAILED");
      assert.equal(error.details["code"], "ANSWER_INVALID");
      assert.equal(error.retryable, false);
      return true;
    });
  });

  test(`an answer of nothing arrives as undefined ${way}`, async () => {
    const Find = query("pricing.find", { input: Sku, output: Price.optional() });
    await using it = await tested(
      [service("caller", { asks: [Find] }), service("pricing").answer(Find, () => undefined)],
      { localCalls },
    );
    assert.equal(await it.bus.ask(Find, { sku: "tea" }), undefined);
  });

  test(`what an answering handler sent leaves before its answer, and not when it fails ${way}`, async () => {
    const Asked = event("pricing.asked", { payload: Sku });
    const seen: string[] = [];
    const pricing = service("pricing", { publishes: [Asked] }).answer(
      GetPrice,
      async (input, context) => {
        await context.publish(Asked, input);
        if (input.sku === "bad") throw new Error("no");
        return { cents: 1 };
      },
    );
    await using it = await tested(
      [caller, pricing, service("log").on(Asked, ({ sku }) => void seen.push(sku))],
      { localCalls },
    );
    await assert.rejects(it.bus.ask(GetPrice, { sku: "bad" }));
    await it.bus.ask(GetPrice, { sku: "good" });
    await until("the event", () => seen.length > 0);
    assert.deepEqual(seen, ["good"]);
  });

  test(`a caller's signal reaches the handler's ${way}`, async () => {
    const started = gate();
    const cancelled = gate();
    const pricing = service("pricing").answer(GetPrice, async (_input, context) => {
      context.signal.addEventListener("abort", () => cancelled.open());
      started.open();
      await context.sleep(60_000);
      return { cents: 1 };
    });
    await using it = await tested([caller, pricing], { localCalls });
    const controller = new AbortController();
    const asked = it.bus.ask(GetPrice, { sku: "tea" }, { signal: controller.signal });
    asked.catch(() => undefined);
    await started.passed;
    controller.abort(new Error("changed my mind"));
    await assert.rejects(asked, { code: "CALL_CANCELLED" });
    await cancelled.passed;
    await until(
      "it is counted",
      async () => (await it.counted("pricing.get-price"))["abandoned"] === 1,
    );
    assert.equal((await it.counted("pricing.get-price"))["failed"], 0);
  });

  test(`the deadline aborts the handler's signal and leaves no timer behind ${way}`, async () => {
    const environment = manualEnvironment();
    const reasons: unknown[] = [];
    const pricing = service("pricing").answer(GetPrice, async ({ sku }, context) => {
      context.signal.addEventListener("abort", () =>
        reasons.push((context.signal.reason as WaybillError).code),
      );
      if (sku === "slow") await context.sleep(60_000);
      return { cents: 1 };
    });
    await using it = await tested([caller, pricing], { localCalls, environment });
    await it.bus.ask(GetPrice, { sku: "warm" });
    await environment.advance(0);
    const timers = environment.timersSet;
    await it.bus.ask(GetPrice, { sku: "fast" });
    await environment.advance(0);
    assert.ok(environment.timersSet <= timers, `${environment.timersSet} timers, ${timers} before`);
    const slow = assert.rejects(it.bus.ask(GetPrice, { sku: "slow" }, { timeoutMs: 500 }), {
      code: "DEADLINE_EXCEEDED",
    });
    await environment.advance(500);
    await slow;
    await environment.advance(0);
    assert.ok(environment.timersSet <= timers, `${environment.timersSet} timers, ${timers} before`);
    assert.equal(reasons.length, 1);
  });
}

test("a hundred calls at once give no warning of a leak and leave nothing", async () => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning);
  process.on("warning", onWarning);
  const broker = memory();
  await using owner = await tested(
    [
      service("pricing").answer(
        GetPrice,
        async (_input, { signal }) => (signal.throwIfAborted(), { cents: 1 }),
      ),
    ],
    { transport: broker },
  );
  await using asker = await tested([caller], { transport: broker });
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, index) => asker.bus.ask(GetPrice, { sku: String(index) })),
  );
  assert.equal(answers.length, 100);
  await turns();
  process.off("warning", onWarning);
  assert.deepEqual(warnings, []);
  assert.deepEqual((await asker.bus.health()).replies, { late: 0, forged: 0, undeliverable: 0 });
  assert.equal((await owner.counted("pricing.get-price"))["handled"], 100);
});

test("an owner that is absent is named with what to look at", async () => {
  await using it = await tested([caller]);
  await assert.rejects(
    it.bus.ask(GetPrice, { sku: "tea" }, { timeoutMs: 20 }),
    (error: WaybillError) => {
      assert.equal(error.code, "DEADLINE_EXCEEDED");
      assert.match(
        error.message,
        /"pricing.get-price" was not answered within 20 ms. Is the service that answers it running\?/,
      );
      assert.equal(error.retryable, true);
      return true;
    },
  );
});

for (const timeoutMs of [0, -1, Number.NaN, 3_600_001]) {
  test(`a timeout of ${timeoutMs} ms is refused`, async () => {
    await using it = await tested([caller]);
    await assert.rejects(it.bus.ask(GetPrice, { sku: "tea" }, { timeoutMs }), {
      code: "OPTION_INVALID",
    });
  });
}

// Deadlines and depth through several services.

/** Four services over one broker, each answering by asking the next. */
async function chain(
  environment: ManualEnvironment,
  options: { policy: "warn" | "refuse"; max: number },
) {
  const broker = memory();
  const contracts = [1, 2, 3, 4].map((level) =>
    query(`chain.level-${level}`, {
      input: z.object({}),
      output: z.object({ depths: z.array(z.number()) }),
    }),
  );
  const headers: Header[] = [];
  const levels = await Promise.all(
    contracts.map((contract, index) => {
      const below = contracts[index + 1];
      const level = service(`level-${index + 1}`, {
        asks: below === undefined ? [] : [below],
      }).answer(contract, async (_input, context) => {
        headers[index] = context.header;
        const depths =
          below === undefined ? [] : (await context.ask(below, {}, { timeoutMs: 60_000 })).depths;
        return { depths: [context.header.calldepth ?? 0, ...depths] };
      });
      return tested([level], { transport: broker, environment, callDepth: options });
    }),
  );
  const first = contracts[0]!;
  const asker = await tested([service("asker", { asks: [first] })], {
    transport: broker,
    environment,
    callDepth: options,
  });
  return {
    ask: () => asker.bus.ask(first, {}, { timeoutMs: 5_000 }),
    levels,
    headers,
    close: () => Promise.all([asker, ...levels].map((each) => each[Symbol.asyncDispose]())),
  };
}

test("the depth of calls is counted through a chain of four services, and one above the limit is a warning", async () => {
  const it = await chain(manualEnvironment(), { max: 3, policy: "warn" });
  assert.deepEqual(await it.ask(), { depths: [1, 2, 3, 4] });
  assert.deepEqual(
    it.levels.map(({ logger }) => logger.has("warn", /would be call 4 in a chain/)),
    [false, false, true, false],
  );
  await it.close();
});

test("one above the limit is refused where the policy says so", async () => {
  const it = await chain(manualEnvironment(), { max: 3, policy: "refuse" });
  await assert.rejects(it.ask(), {
    code: "ANSWER_FAILED",
    message:
      /chain\.level-4" would be call 4 in a chain in which every caller waits; the limit is 3/,
  });
  await it.close();
});

test("a deadline is inherited: nobody below waits longer than the first caller, and conversation and cause go along", async () => {
  const it = await chain(manualEnvironment(), { max: 9, policy: "warn" });
  await it.ask();
  assert.equal(new Set(it.headers.map(({ deadline }) => deadline)).size, 1);
  assert.equal(new Set(it.headers.map(({ conversationid }) => conversationid)).size, 1);
  assert.deepEqual(
    it.headers.slice(1).map(({ causationid }) => causationid),
    it.headers.slice(0, -1).map(({ id }) => id),
  );
  await it.close();
});

test("a command that a handler of a call sends is not under the call's deadline or depth", async () => {
  const Note = command("notes.note", { input: Sku });
  const headers: Header[] = [];
  const pricing = service("pricing", { sends: [Note] }).answer(
    GetPrice,
    async (input, context) => (await context.send(Note, input), { cents: 1 }),
  );
  await using it = await tested([
    caller,
    pricing,
    service("notes").handle(Note, (_input, { header }) => void headers.push(header)),
  ]);
  await it.bus.ask(GetPrice, { sku: "tea" });
  await until("the command", () => headers.length === 1);
  assert.deepEqual(
    [headers[0]?.deadline, headers[0]?.calldepth, headers[0]?.replyto],
    [undefined, undefined, undefined],
  );
});

test("a request that expired in the queue is not run, and leaves no dead letter", async () => {
  const environment = manualEnvironment();
  const broker = memory();
  await using asker = await tested([caller], { transport: broker, environment });
  const asked = assert.rejects(asker.bus.ask(GetPrice, { sku: "tea" }, { timeoutMs: 100 }), {
    code: "DEADLINE_EXCEEDED",
  });
  await environment.advance(200);
  await asked;
  await using owner = await tested(
    [service("pricing").answer(GetPrice, () => assert.fail("it ran"))],
    { transport: broker, environment },
  );
  await environment.advance(0);
  assert.deepEqual(await owner.bus.deadLetters.list(), []);
  assert.equal((await owner.counted("pricing.get-price"))["failed"] ?? 0, 0);
});

// Hostile and broken peers. What no bus would send comes over a connection of its own.

const reply = (to: string, envelope: Envelope) => ({
  to: { kind: "queue", name: to } as const,
  envelope,
});

async function received(wire: Transport, queue: string): Promise<Envelope> {
  return new Promise((resolve) => {
    wire.receive(
      { kind: "queue", name: queue },
      { prefetch: 1, prefetchBytes: 1_000_000, lockMs: 30_000 },
      {
        fault: () => undefined,
        deliver: ([delivery]) => {
          void delivery?.settle({ kind: "complete" });
          resolve(delivery!.envelope);
        },
      },
    );
  });
}

test("late, forged and duplicate answers are refused and counted, and no error carries a stack over the wire", async () => {
  const broker = memory();
  await using it = await tested([caller], { transport: broker });
  await using wire = await foreigner(broker);
  const asked = it.bus.ask(GetPrice, { sku: "tea" });
  const request = await received(wire, "pricing.get-price");
  const { replyto = "", correlationid = "" } = request.header;
  const answer = envelopeOf("waybill.answer", '{"cents":1}', { correlationid });
  await wire.send([
    reply(replyto, envelopeOf("waybill.answer", '{"cents":666}', { correlationid: "guessed" })),
  ]);
  await wire.send([reply(replyto, envelopeOf("waybill.answer", '{"cents":666}'))]);
  await wire.send([reply(replyto, answer)]);
  assert.deepEqual(await asked, { cents: 1 });
  await wire.send([reply(replyto, answer)]);
  await until("all are counted", async () => {
    const { late, forged } = (await it.bus.health()).replies;
    return late === 1 && forged === 2;
  });
  assert.ok(it.logger.has("warn", /no call of this process has its correlation id/));

  const late = assert.rejects(it.bus.ask(GetPrice, { sku: "tea" }, { timeoutMs: 20 }), {
    code: "DEADLINE_EXCEEDED",
  });
  await late;
});

for (const body of ["{", "5", "null", '{"message":{},"details":7}', ""]) {
  test(`an error that reads ${JSON.stringify(body)} is still an error`, async () => {
    const broker = memory();
    await using it = await tested([caller], { transport: broker });
    await using wire = await foreigner(broker);
    const asked = assert.rejects(it.bus.ask(GetPrice, { sku: "tea" }), { code: "ANSWER_FAILED" });
    const { header } = await received(wire, "pricing.get-price");
    await wire.send([
      reply(
        header.replyto!,
        envelopeOf("waybill.error", body, { correlationid: header.correlationid! }),
      ),
    ]);
    await asked;
  });
}

test("an answer that cannot be read, or does not fit, is ANSWER_INVALID", async () => {
  for (const body of ["{", '{"cents":"1"}']) {
    const broker = memory();
    await using it = await tested([caller], { transport: broker });
    await using wire = await foreigner(broker);
    const asked = assert.rejects(it.bus.ask(GetPrice, { sku: "tea" }), {
      code: "ANSWER_INVALID",
      message: /one version/,
    });
    const { header } = await received(wire, "pricing.get-price");
    await wire.send([
      reply(
        header.replyto!,
        envelopeOf("waybill.answer", body, { correlationid: header.correlationid! }),
      ),
    ]);
    await asked;
  }
});

test("no error on the wire has a stack or a cause", async () => {
  const broker = memory();
  const pricing = service("pricing").answer(GetPrice, () => {
    throw new Error("no price list", { cause: new Error("password: secret") });
  });
  await using _ = await tested([pricing], { transport: broker });
  await using wire = await foreigner(broker);
  await wire.declare({
    queues: [{ name: "replies.me", temporary: true }],
    topics: [],
    subscriptions: [],
    streams: [],
  });
  const header = {
    replyto: "replies.me",
    correlationid: "c-1",
    deadline: new Date(Date.now() + 5_000).toISOString(),
  };
  await wire.send([
    reply("pricing.get-price", envelopeOf("pricing.get-price", '{"sku":"tea"}', header)),
  ]);
  const { body, header: answered } = await received(wire, "replies.me");
  assert.equal(answered.type, "waybill.error");
  assert.deepEqual(JSON.parse(body as string), {
    code: "HANDLER_FAILED",
    message: "no price list",
    retryable: true,
    details: {},
  });
});

for (const replyto of [
  "ordering.place-order",
  "replies.",
  "replies.a/b",
  "replies.x\r\ny",
  "",
  undefined,
]) {
  test(`a call whose answer should go to ${JSON.stringify(replyto)} is refused and set aside`, async () => {
    const broker = memory();
    await using it = await tested(
      [service("pricing").answer(GetPrice, () => assert.fail("it ran"))],
      { transport: broker },
    );
    await using wire = await foreigner(broker);
    const header = {
      correlationid: "c-1",
      deadline: new Date(Date.now() + 5_000).toISOString(),
      ...(replyto !== undefined && { replyto }),
    };
    await wire.send([
      reply("pricing.get-price", envelopeOf("pricing.get-price", '{"sku":"tea"}', header)),
    ]);
    await until("set aside", async () => (await it.bus.deadLetters.list()).length === 1);
    assert.deepEqual((await it.bus.health()).unknownTypes, { "pricing.get-price": 1 });
  });
}

test("a caller whose process is gone costs a counter and nothing else", async () => {
  const broker = memory();
  const go = gate();
  const started = gate();
  const pricing = service("pricing").answer(GetPrice, async ({ sku }) => {
    started.open();
    if (sku === "gone") await go.passed;
    return { cents: 1 };
  });
  await using owner = await tested([pricing], { transport: broker });
  const asker = await tested([caller], { transport: broker });
  const asked = assert.rejects(asker.bus.ask(GetPrice, { sku: "gone" }), { code: "CLOSED" });
  await started.passed;
  await asker.bus.close();
  await asked;
  go.open();
  await until("it is counted", async () => (await owner.bus.health()).replies.undeliverable === 1);
  await using again = await tested([caller], { transport: broker });
  assert.deepEqual(await again.bus.ask(GetPrice, { sku: "tea" }), { cents: 1 });
});

test("an answer that is too large for the broker is an error that says so, not a silence", async () => {
  const Big = query("pricing.big", { input: Sku, output: z.string() });
  const broker = memory({ bodyBytesMax: 10_000 });
  await using _ = await tested([service("pricing").answer(Big, () => "x".repeat(20_000))], {
    transport: broker,
  });
  await using it = await tested([service("caller", { asks: [Big] })], { transport: broker });
  await assert.rejects(it.bus.ask(Big, { sku: "tea" }), {
    code: "ANSWER_FAILED",
    message: /takes 10000/,
  });
});

test("a request that cannot be sent rejects at once and leaves nothing waiting", async () => {
  let refuse = false;
  const transport = watched(memory(), (inner) => ({
    send: (batch) =>
      refuse
        ? Promise.reject(new WaybillError("STORAGE_FULL", "full", { retryable: true }))
        : inner.send(batch),
  }));
  const environment = manualEnvironment();
  await using it = await tested([caller], { transport, environment });
  refuse = true;
  const controller = new AbortController();
  await assert.rejects(it.bus.ask(GetPrice, { sku: "tea" }, { signal: controller.signal }), {
    code: "STORAGE_FULL",
  });
  controller.abort();
  await turns();
  refuse = false;
});

test("a reply queue that could not be made is made again for the next call", async () => {
  const broker = memory();
  let refusals = 1;
  const transport = watched(broker, (inner) => ({
    declare: (topology) =>
      topology.queues[0]?.temporary === true && refusals-- > 0
        ? Promise.reject(new WaybillError("TRANSPORT_FAILED", "not now"))
        : inner.declare(topology),
  }));
  await using _ = await tested([service("pricing").answer(GetPrice, () => ({ cents: 1 }))], {
    transport: broker,
  });
  await using it = await tested([caller], { transport });
  await assert.rejects(it.bus.ask(GetPrice, { sku: "tea" }), { code: "TRANSPORT_FAILED" });
  assert.deepEqual(await it.bus.ask(GetPrice, { sku: "tea" }), { cents: 1 });
});

test("what a command's handler asks in vain is asked again with the message", async () => {
  const Buy = command("shop.buy", { input: Sku });
  let asked = 0;
  const shop = service("shop", { asks: [GetPrice] }).handle(
    Buy,
    async (input, context) => void (await context.ask(GetPrice, input)),
    { retry: { immediate: 1 } },
  );
  const pricing = service("pricing").answer(GetPrice, () => {
    if (++asked === 1) throw new Error("glitch");
    return { cents: 1 };
  });
  await using it = await tested([shop, pricing]);
  await it.bus.send(Buy, { sku: "tea" });
  await until("handled", async () => (await it.counted("shop.buy"))["handled"] === 1);
  assert.equal(asked, 2);
});

test("a process that calls and serves itself over the broker keeps the two ends apart", async () => {
  const pricing = service("pricing").answer(
    GetPrice,
    async (_input, { signal }) => (signal.throwIfAborted(), { cents: 1 }),
  );
  await using it = await tested(
    [caller, pricing, counter, service("numbers").serve(Count, count)],
    { localCalls: false },
  );
  assert.deepEqual(await it.bus.ask(GetPrice, { sku: "tea" }), { cents: 1 });
  assert.deepEqual(await Array.fromAsync(it.bus.open(Count, { count: 3 })), [0, 1, 2]);
});

// Feeds.

const Range = z.object({ count: z.number() });
const Count = feed("numbers.count", { input: Range, item: z.number(), upstream: z.number() });
const counter = service("counter", { opens: [Count] });

async function* count({ count: most }: { count: number }): AsyncGenerator<number> {
  for (let next = 0; next < most; next++) yield next;
}

/** A serving bus and a calling one: the same in local mode. */
async function feeding(
  numbers: Parameters<typeof tested>[0][number],
  {
    local,
    environment,
    transport = memory(),
  }: { local?: boolean; environment?: ManualEnvironment; transport?: MemoryBroker } = {},
) {
  const shared = { transport, ...(environment !== undefined && { environment }) };
  if (local === true) {
    const both = await tested([counter, numbers], shared);
    return { server: both, client: both, close: () => both[Symbol.asyncDispose]() };
  }
  const server = await tested([numbers], shared);
  const client = await tested([counter], shared);
  return {
    server,
    client,
    close: async () => (await client[Symbol.asyncDispose](), await server[Symbol.asyncDispose]()),
  };
}

for (const local of [true, false]) {
  const way = local ? "in the process" : "over the transport";

  test(`1,000 items come in order, each once ${way}`, async () => {
    const it = await feeding(service("numbers").serve(Count, count), { local });
    const items = await Array.fromAsync(it.client.bus.open(Count, { count: 1_000 }));
    assert.deepEqual(
      items,
      Array.from({ length: 1_000 }, (_, index) => index),
    );
    await it.close();
  });

  test(`a caller that leaves early ends the generator, its finally included ${way}`, async () => {
    const ended = gate();
    const numbers = service("numbers").serve(Count, async function* (input) {
      try {
        yield* count(input);
      } finally {
        ended.open();
      }
    });
    const it = await feeding(numbers, { local });
    for await (const item of it.client.bus.open(Count, { count: 1_000_000 })) if (item === 5) break;
    await ended.passed;
    await it.close();
  });

  test(`a caller that leaves wakes a generator that waits by its context ${way}`, async () => {
    const ended = gate();
    const numbers = service("numbers").serve(Count, async function* (_input, context) {
      try {
        yield 1;
        await context.sleep(600_000);
      } finally {
        ended.open();
      }
    });
    const it = await feeding(numbers, { local });
    for await (const _ of it.client.bus.open(Count, { count: 1 })) break;
    await ended.passed;
    await turns();
    assert.ok(!it.server.logger.has("warn", /failed/), "leaving is no failure");
    await it.close();
  });

  test(`the caller's signal ends the feed for both ${way}`, async () => {
    const ended = gate();
    const numbers = service("numbers").serve(Count, async function* (_input, { signal }) {
      try {
        yield 1;
        await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      } finally {
        ended.open();
      }
    });
    const it = await feeding(numbers, { local });
    const controller = new AbortController();
    const read = (async () => {
      for await (const _ of it.client.bus.open(Count, { count: 1 }, { signal: controller.signal }))
        controller.abort();
    })();
    await assert.rejects(read, { code: "CALL_CANCELLED" });
    await ended.passed;
    await it.close();
  });

  test(`an error of the server comes after the items before it ${way}`, async () => {
    const numbers = service("numbers").serve(Count, async function* () {
      yield 1;
      yield 2;
      throw new Error("out of numbers");
    });
    const it = await feeding(numbers, { local });
    const items: number[] = [];
    const read = (async () => {
      for await (const item of it.client.bus.open(Count, { count: 1 })) items.push(item);
    })();
    await assert.rejects(read, {
      code: "FEED_FAILED",
      message: /failed on the other side: out of numbers/,
    });
    assert.deepEqual(items, [1, 2]);
    await it.close();
  });

  test(`an item that breaks its contract ends the feed ${way}`, async () => {
    const numbers = service("numbers").serve(Count, async function* () {
      yield 1;
      yield "two" as never;
    });
    const it = await feeding(numbers, { local });
    await assert.rejects(Array.fromAsync(it.client.bus.open(Count, { count: 1 })), {
      code: "FEED_FAILED",
    });
    await it.close();
  });

  test(`items flow upstream, far more than the window, at the handler's pace ${way}`, async () => {
    let made = 0;
    let taken = 0;
    let ahead = 0;
    const numbers = service("numbers").serve(Count, async function* (_input, { upstream }) {
      for await (const item of upstream) {
        taken += 1;
        if (taken % 50 === 0) await turns(1);
        yield item * 2;
      }
    });
    const it = await feeding(numbers, { local });
    const upstream = (async function* () {
      for (; made < 1_500; made++) {
        ahead = Math.max(ahead, made - taken);
        yield made;
      }
    })();
    const items = await Array.fromAsync(it.client.bus.open(Count, { count: 0 }, { upstream }));
    assert.equal(items.length, 1_500);
    assert.deepEqual(items.slice(0, 3), [0, 2, 4]);
    assert.ok(ahead <= 70, `${ahead} items ahead of the handler`);
    await it.close();
  });

  test(`an upstream that fails, whatever it throws, fails the feed ${way}`, async () => {
    const numbers = service("numbers").serve(Count, async function* (_input, { upstream }) {
      for await (const item of upstream) yield item;
    });
    const it = await feeding(numbers, { local });
    const upstream = (async function* () {
      yield 1;
      // oxlint-disable-next-line typescript/only-throw-error -- that is the point
      throw undefined;
    })();
    const opened = Array.fromAsync(it.client.bus.open(Count, { count: 0 }, { upstream }));
    const ending = await opened.then(
      () => "it ended well",
      () => "it failed",
    );
    assert.equal(ending, "it failed");
    await it.close();
  });

  test(`what a serving handler sends leaves at once ${way}`, async () => {
    const Counted = event("numbers.counted", { payload: z.number() });
    const seen: number[] = [];
    const go = gate();
    const numbers = service("numbers", { publishes: [Counted] })
      .serve(Count, async function* (_input, context) {
        yield 1;
        await context.publish(Counted, 1);
        await go.passed;
      })
      .on(Counted, (value) => void seen.push(value));
    const it = await feeding(numbers, { local });
    const reading = Array.fromAsync(it.client.bus.open(Count, { count: 0 }));
    await until("the event", () => seen.length === 1);
    go.open();
    await reading;
    await it.close();
  });
}

test("the server does not run ahead of what the caller has taken and gave credit for", async () => {
  let made = 0;
  const numbers = service("numbers").serve(Count, async function* () {
    for (;;) yield made++;
  });
  const it = await feeding(numbers);
  const items = it.client.bus.open(Count, { count: 0 }, { bufferMax: 10 })[Symbol.asyncIterator]();
  for (let taken = 1; taken <= 30; taken++) {
    await items.next();
    await turns();
    assert.ok(made <= taken + 11, `${made} made, ${taken} taken`);
  }
  await items.return?.();
  await it.close();
});

for (const bufferMax of [0, 1.5, 10_001]) {
  test(`a buffer of ${bufferMax} items is refused`, async () => {
    await using it = await tested([counter]);
    await assert.rejects(Array.fromAsync(it.bus.open(Count, { count: 1 }, { bufferMax })), {
      code: "OPTION_INVALID",
    });
  });
}

test("upstream items for a feed that takes none are refused", async () => {
  const Plain = feed("numbers.plain", { input: Range, item: z.number() });
  await using it = await tested([service("counter", { opens: [Plain] })]);
  const upstream = (async function* () {})();
  await assert.rejects(Array.fromAsync(it.bus.open(Plain, { count: 1 }, { upstream })), {
    code: "OPTION_INVALID",
  });
});

test("a feed that nobody serves, and one whose server dies, fail after the silence", async () => {
  const environment = manualEnvironment();
  const transport = memory();
  await using client = await tested([counter], { transport, environment });
  const nobody = assert.rejects(Array.fromAsync(client.bus.open(Count, { count: 1 })), {
    code: "FEED_FAILED",
    message: /fell silent.*is not running or has died/,
  });
  await environment.advance(25_000);
  await nobody;

  const opened = watched(transport);
  const numbers = service("numbers").serve(Count, async function* () {
    yield 1;
    await new Promise(() => undefined);
  });
  const server = await tested([numbers], { transport: opened, environment });
  const items = client.bus.open(Count, { count: 1 })[Symbol.asyncIterator]();
  assert.deepEqual(await items.next(), { done: false, value: 1 });
  const next = items.next();
  next.catch(() => undefined);
  await environment.advance(60_000); // both sides speak, so nothing ends
  transport.crash(opened.opened[0]!.instance);
  await environment.advance(25_000);
  await assert.rejects(next, { code: "FEED_FAILED", message: /fell silent/ });
  void server;
});

test("a server whose caller dies ends the generator after the silence", async () => {
  const environment = manualEnvironment();
  const transport = memory();
  const ended = gate();
  let over = false;
  const numbers = service("numbers").serve(Count, async function* (_input, { signal }) {
    yield 1;
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    over = true;
    ended.open();
  });
  await using _ = await tested([numbers], { transport, environment });
  const opened = watched(transport);
  const client = await tested([counter], { transport: opened, environment });
  const items = client.bus.open(Count, { count: 1 })[Symbol.asyncIterator]();
  await items.next();
  void items.next().catch(() => undefined);
  transport.crash(opened.opened[0]!.instance);
  await environment.advance(60_000);
  await until("it ended", () => over);
});

/** Opens a feed towards a server that the test plays itself. */
async function played(): Promise<{
  next: () => Promise<IteratorResult<number>>;
  say: (type: string, body?: string, header?: Partial<Header>) => Promise<unknown>;
  /** What came to the server, and to another. */
  atServer: readonly Envelope[];
  atOther: readonly Envelope[];
  close: () => Promise<void>;
}> {
  const broker = memory();
  const it = await tested([counter], { transport: broker });
  const wire = await foreigner(broker);
  const items = it.bus.open(Count, { count: 1 })[Symbol.asyncIterator]();
  let pending: Promise<IteratorResult<number>> | undefined = items.next();
  pending.catch(() => undefined);
  const { header } = await received(wire, "numbers.count");
  const atServer = await framesAt(wire, "replies.server");
  const atOther = await framesAt(wire, "replies.other");
  const say = (type: string, body = "", more: Partial<Header> = {}): Promise<unknown> =>
    wire.send([
      reply(
        header.replyto!,
        envelopeOf(type, body, {
          correlationid: header.correlationid!,
          replyto: "replies.server",
          ...more,
        }),
      ),
    ]);
  await say("waybill.accepted");
  return {
    next: () => {
      const first = pending ?? items.next();
      pending = undefined;
      return first;
    },
    say,
    atServer,
    atOther,
    close: async () => {
      await it.bus.close();
      await wire[Symbol.asyncDispose]();
    },
  };
}

test("a frame that comes twice is taken once", async () => {
  const it = await played();
  for (const sequence of ["0", "0", "1", "0", "1"])
    await it.say("waybill.item", sequence, { sequence });
  await it.say("waybill.end", "", { sequence: "2" });
  assert.deepEqual(
    [await it.next(), await it.next(), (await it.next()).done],
    [{ done: false, value: 0 }, { done: false, value: 1 }, true],
  );
  await it.close();
});

for (const sequence of ["2", "x", undefined]) {
  test(`a frame that skips to ${String(sequence)} fails the feed`, async () => {
    const it = await played();
    await it.say("waybill.item", "0", { sequence: "0" });
    await it.say("waybill.item", "2", sequence === undefined ? {} : { sequence });
    await it.next();
    await assert.rejects(it.next(), {
      code: "FEED_FAILED",
      message: /lost items on the way. Open it again/,
      retryable: true,
    });
    await until("the server is told", () =>
      it.atServer.some(({ header }) => header.type === "waybill.cancel"),
    );
    await it.close();
  });
}

test("a second server that accepts the same feed is sent away, and its items are not mixed in", async () => {
  const it = await played();
  await it.say("waybill.item", "10", { sequence: "0" });
  await it.say("waybill.accepted", "", { replyto: "replies.other" });
  await it.say("waybill.item", "21", { sequence: "1", replyto: "replies.other" });
  await it.say("waybill.item", "11", { sequence: "1" });
  assert.deepEqual([(await it.next()).value, (await it.next()).value], [10, 11]);
  await until("the other is told", () =>
    it.atOther.some(({ header }) => header.type === "waybill.cancel"),
  );
  await it.close();
});

test("a request for a feed that is delivered twice is served once", async () => {
  const broker = memory();
  let served = 0;
  const numbers = service("numbers").serve(Count, async function* () {
    served += 1;
    yield 1;
    await new Promise(() => undefined);
  });
  await using it = await tested([numbers], { transport: broker });
  await using wire = await foreigner(broker);
  await wire.declare({
    queues: [{ name: "replies.me", temporary: true }],
    topics: [],
    subscriptions: [],
    streams: [],
  });
  const request = reply(
    "numbers.count",
    envelopeOf("numbers.count", '{"count":1}', {
      replyto: "replies.me",
      correlationid: "c-1",
      sequence: "5",
    }),
  );
  await wire.send([request, request]);
  await until("both are settled", async () => {
    const state = (await it.bus.health()).addresses.find(
      ({ address }) => address === "numbers.count",
    );
    return state?.ready === 0 && state.inFlight === 0 && served > 0;
  });
  assert.equal(served, 1);
  await it.bus.close({ deadlineMs: 10 }).catch(() => undefined);
});

test("upstream items beyond the credit end the reading of a caller that does not keep to it", async () => {
  const broker = memory();
  const failed = gate();
  const numbers = service("numbers").serve(Count, async function* (_input, { upstream }) {
    try {
      for await (const _ of upstream) await failed.passed;
    } catch (error) {
      assert.equal((error as WaybillError).code, "BUFFER_FULL");
      yield 99;
    }
  });
  await using _ = await tested([numbers], { transport: broker });
  await using wire = await foreigner(broker);
  await wire.declare({
    queues: [{ name: "replies.me", temporary: true }],
    topics: [],
    subscriptions: [],
    streams: [],
  });
  await wire.send([
    reply(
      "numbers.count",
      envelopeOf("numbers.count", '{"count":1}', {
        replyto: "replies.me",
        correlationid: "c-1",
        sequence: "5",
      }),
    ),
  ]);
  const frames: Envelope[] = [];
  wire.receive(
    { kind: "queue", name: "replies.me" },
    { prefetch: 10, prefetchBytes: 1_000_000, lockMs: 30_000 },
    {
      fault: () => undefined,
      deliver: (batch) => {
        for (const delivery of batch) {
          frames.push(delivery.envelope);
          void delivery.settle({ kind: "complete" });
        }
      },
    },
  );
  await until("accepted", () => frames.length > 0);
  const server = frames[0]!.header.replyto!;
  for (let sequence = 0; sequence < 70; sequence++) {
    await wire.send([
      reply(
        server,
        envelopeOf("waybill.upstream-item", String(sequence), {
          correlationid: "c-1",
          sequence: String(sequence),
        }),
      ),
    ]);
  }
  await turns();
  failed.open();
  await until("it failed", () =>
    frames.some(({ header, body }) => header.type === "waybill.item" && body === "99"),
  );
});

test("a closing server tells its callers to open again", async () => {
  const it = await feeding(
    service("numbers").serve(Count, async function* (_input, context) {
      yield 1;
      await context.sleep(600_000);
    }),
  );
  const items = it.client.bus.open(Count, { count: 1 })[Symbol.asyncIterator]();
  await items.next();
  const next = assert.rejects(items.next(), {
    code: "FEED_FAILED",
    message: /is closing. Open it again/,
  });
  await it.server.bus.close();
  await next;
  await it.close();
});

test("a logger that is asked for nothing but these four methods is enough", async () => {
  const { debug, info, warn, error } = recordingLogger();
  const { connect } = await import("../connect.ts");
  await using _ = await connect({
    transport: memory(),
    services: [caller],
    logger: { debug, info, warn, error },
  });
});
