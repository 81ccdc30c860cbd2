import assert from "node:assert/strict";
import { test } from "node:test";
import { feed, query } from "@waybill/contracts";
import * as z from "zod";
import type { FeedContext } from "../context.ts";
import type { Envelope } from "../envelope.ts";
import { WaybillError } from "../errors.ts";
import { memory } from "../memory/index.ts";
import { service } from "../service.ts";
import {
  type ManualEnvironment,
  envelopeOf,
  foreigner,
  framesAt,
  gate,
  manualEnvironment,
  tested,
  turns,
  until,
  watched,
} from "../testing.fixture.ts";

const Range = z.object({ count: z.number() });
const Count = feed("numbers.count", {
  input: Range,
  item: z.number(),
  resume: { cursor: z.int(), of: (item) => item },
});
const Names = feed("names.tail", {
  input: Range,
  item: z.string(),
  resume: { cursor: z.string(), of: (item) => item },
});
const Plain = feed("numbers.plain", { input: Range, item: z.number() });
const counter = service("counter", { opens: [Count, Names, Plain] });

type CountContext = FeedContext<unknown, never, number>;

/** Numbers from after the cursor; where each server began, in `begun`. */
function numbers(begun: (number | undefined)[], stopAfter = Infinity) {
  return service("numbers").serve(Count, async function* ({ count }, context: CountContext) {
    const { resumeFrom } = context;
    begun.push(resumeFrom);
    for (let next = (resumeFrom ?? -1) + 1; next < count; next++) {
      yield next;
      if (next === stopAfter) await context.sleep(600_000);
    }
  });
}

/** A server that can be killed. */
async function mortal(
  services: Parameters<typeof tested>[0],
  broker: ReturnType<typeof memory>,
  environment: ManualEnvironment,
): Promise<{ kill(): void }> {
  const transport = watched(broker);
  await tested(services, { transport, environment });
  return { kill: () => broker.crash(transport.opened[0]!.instance) };
}

test("a feed whose server is killed goes on at another instance: in order, none lost, none twice", async () => {
  const environment = manualEnvironment();
  const broker = memory();
  const begun: (number | undefined)[] = [];
  await using client = await tested([counter], { transport: broker, environment });
  const first = await mortal([numbers(begun, 3)], broker, environment);
  const items: number[] = [];
  const reading = (async () => {
    for await (const item of client.bus.open(Count, { count: 9 })) items.push(item);
  })();
  await environment.advance(100);
  assert.deepEqual(items, [0, 1, 2, 3]);
  first.kill();
  const second = await mortal([numbers(begun, 6)], broker, environment);
  await environment.advance(6_000 + 100);
  assert.deepEqual(items, [0, 1, 2, 3, 4, 5, 6], "noticed within 6 seconds");
  second.kill();
  await mortal([numbers(begun)], broker, environment);
  await environment.advance(6_000 + 100);
  await reading;
  assert.deepEqual(items, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual(begun, [undefined, 3, 6]);
  assert.equal((await client.counted(Count.name))["resumed"], 2);
  assert.ok(
    client.logger.has("warn", /"numbers.count" was lost and is opened again: .*fell silent/),
  );
});

test("a death is noticed within 6 seconds whenever the last word came between two beats", async () => {
  const environment = manualEnvironment();
  const broker = memory();
  const once = service("numbers").serve(Count, async function* (_input, context) {
    await context.sleep(1_500);
    yield 0;
    await context.sleep(600_000);
  });
  await using client = await tested([counter], { transport: broker, environment });
  const server = await mortal([once], broker, environment);
  const items: number[] = [];
  const reading = (async () => {
    for await (const item of client.bus.open(Count, { count: 2 })) items.push(item);
  })();
  await environment.advance(1_500);
  server.kill();
  await mortal([numbers([])], broker, environment);
  await environment.advance(6_000 + 100);
  assert.deepEqual(items, [0, 1]);
  await reading;
});

test("a feed whose server closes in order goes on at another instance at once", async () => {
  const broker = memory();
  const begun: (number | undefined)[] = [];
  await using client = await tested([counter], { transport: broker });
  const first = await tested([numbers(begun, 3)], { transport: broker });
  const items: number[] = [];
  const reading = (async () => {
    for await (const item of client.bus.open(Count, { count: 6 })) items.push(item);
  })();
  await until("four", () => items.length === 4);
  await using _ = await tested([numbers(begun)], { transport: broker });
  await first.bus.close();
  await reading;
  assert.deepEqual(items, [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(begun, [undefined, 3]);
});

test("a feed that is lost before its first item begins again, and one that began after a cursor goes on after that", async () => {
  const broker = memory();
  const begun: (number | undefined)[] = [];
  const silent = service("numbers").serve(Count, async function* (_input, context) {
    begun.push(context.resumeFrom);
    await context.sleep(600_000);
    yield 0;
  });
  await using client = await tested([counter], { transport: broker });
  const first = await tested([silent], { transport: broker });
  const fromStart = Array.fromAsync(client.bus.open(Count, { count: 3 }));
  const after = Array.fromAsync(client.bus.open(Count, { count: 3 }, { resumeFrom: 0 }));
  await until("both are served", () => begun.length === 2);
  await using _ = await tested([numbers(begun)], { transport: broker });
  await first.bus.close();
  assert.deepEqual(await fromStart, [0, 1, 2]);
  assert.deepEqual(await after, [1, 2]);
  assert.deepEqual(new Set(begun.slice(0, 2)), new Set([undefined, 0]));
  assert.deepEqual(new Set(begun.slice(2)), new Set([undefined, 0]));
});

test("a server that replays from before the cursor is taken from after it", async () => {
  const broker = memory();
  let served = 0;
  const all = service("numbers").serve(Count, async function* ({ count }, context) {
    served += 1;
    for (let next = 0; next < count; next++) {
      yield next;
      if (served === 1 && next === 2) await context.sleep(600_000);
    }
  });
  await using client = await tested([counter], { transport: broker });
  const first = await tested([all], { transport: broker });
  const items: number[] = [];
  const reading = (async () => {
    for await (const item of client.bus.open(Count, { count: 5 })) items.push(item);
  })();
  await until("three", () => items.length === 3);
  await using _ = await tested([all], { transport: broker });
  await first.bus.close();
  await reading;
  assert.deepEqual(items, [0, 1, 2, 3, 4]);
});

for (const localCalls of [true, false]) {
  const way = localCalls ? "in the process" : "over the transport";

  test(`an item of the same cursor is taken once, and one of an earlier cursor is an error ${way}`, async () => {
    const back = service("numbers").serve(Count, async function* () {
      yield* [1, 1, 2, 2, 1];
    });
    await using it = await tested([counter, back], { localCalls });
    const items: number[] = [];
    const read = (async () => {
      for await (const item of it.bus.open(Count, { count: 1 })) items.push(item);
    })();
    await assert.rejects(read, { code: "ANSWER_INVALID", message: /gave the cursor 1 after 2/ });
    assert.deepEqual(items, [1, 2]);
  });

  test(`numbers written as text are no ascending cursors, and that is said at once ${way}`, async () => {
    const names = service("names").serve(Names, async function* () {
      yield* ["8", "9", "10"];
    });
    await using it = await tested([counter, names], { localCalls });
    await assert.rejects(Array.fromAsync(it.bus.open(Names, { count: 1 })), {
      code: "ANSWER_INVALID",
      message: /gave the cursor "10" after "9"/,
    });
  });

  test(`where it begins reaches the handler ${way}`, async () => {
    const begun: (number | undefined)[] = [];
    await using it = await tested([counter, numbers(begun)], { localCalls });
    const items = await Array.fromAsync(it.bus.open(Count, { count: 5 }, { resumeFrom: 2 }));
    assert.deepEqual(items, [3, 4]);
    assert.deepEqual(begun, [2]);
  });

  test(`a cursor that the contract's schema refuses does not reach the handler ${way}`, async () => {
    await using it = await tested([counter, numbers([])], { localCalls });
    const opened = it.bus.open(Count, { count: 5 }, { resumeFrom: 1.5 });
    await assert.rejects(Array.fromAsync(opened), (error: WaybillError) => {
      assert.equal(error.code, "FEED_FAILED");
      assert.equal(error.details["code"], "MESSAGE_INVALID");
      assert.equal(error.retryable, false);
      return true;
    });
  });

  test(`what the handler says is no loss, and nothing is opened again ${way}`, async () => {
    let served = 0;
    const failing = service("numbers").serve(Count, async function* () {
      served += 1;
      yield 1;
      throw new WaybillError("FEED_FAILED", "a feed below was lost", { retryable: true });
    });
    await using it = await tested([counter, failing], { localCalls });
    await assert.rejects(Array.fromAsync(it.bus.open(Count, { count: 1 })), {
      code: "FEED_FAILED",
      message: /a feed below was lost/,
    });
    assert.equal(served, 1);
    assert.equal((await it.counted(Count.name))["resumed"], 0);
  });
}

test("without resume, or when it is refused, a lost feed ends as it did", async () => {
  for (const [contract, options] of [
    [Plain, {}],
    [Count, { resume: false }],
  ] as const) {
    const broker = memory();
    await using client = await tested([counter], { transport: broker });
    const serving = service("numbers").serve(contract as typeof Plain, async function* () {
      yield 1;
      await new Promise(() => undefined);
    });
    const server = await tested([serving], { transport: broker });
    const opened = client.bus.open(contract as typeof Count, { count: 1 }, options);
    const items = opened[Symbol.asyncIterator]();
    await items.next();
    const next = assert.rejects(items.next(), { code: "FEED_FAILED", message: /is closing/ });
    await server.bus.close({ deadlineMs: 10 }).catch(() => undefined);
    await next;
  }
});

test("a feed that nobody serves is opened again until its attempts are over", async () => {
  const environment = manualEnvironment();
  await using it = await tested([counter], { environment });
  const opened = assert.rejects(
    Array.fromAsync(it.bus.open(Count, { count: 1 }, { resume: { attempts: 3 } })),
    {
      code: "FEED_FAILED",
      message: /could not be opened again \(3 times in \d+ ms\): .*fell silent/,
      retryable: true,
    },
  );
  await environment.advance(4 * 6_000 + 700);
  await opened;
  assert.equal((await it.counted(Count.name))["resumed"], 3);
  assert.equal(environment.timersSet <= 2, true, `${environment.timersSet} timers are left`);
});

test("a feed that nobody serves is not opened again when its time is over", async () => {
  const environment = manualEnvironment();
  await using it = await tested([counter], { environment });
  let over = false;
  const opened = Array.fromAsync(
    it.bus.open(Count, { count: 1 }, { resume: { withinMs: 15_000 } }),
  );
  opened.then(undefined, () => (over = true));
  await environment.advance(20_000);
  assert.equal(over, false);
  await environment.advance(6_000);
  await assert.rejects(opened, { code: "FEED_FAILED", message: /could not be opened again/ });
});

test("a connection that stood without items ends its outage; its losses do not add up", async () => {
  const environment = manualEnvironment();
  const broker = memory();
  const quiet = service("numbers").serve(Count, async function* (_input, context) {
    await context.sleep(600_000);
    yield 1;
  });
  await using client = await tested([counter], { transport: broker, environment });
  const opened = Array.fromAsync(
    client.bus.open(Count, { count: 1 }, { resume: { attempts: 2, withinMs: 20_000 } }),
  );
  opened.catch(() => undefined);
  for (let outage = 0; outage < 5; outage++) {
    const server = await mortal([quiet], broker, environment);
    await environment.advance(30_000);
    server.kill();
  }
  await mortal([numbers([])], broker, environment);
  await environment.advance(10_000);
  assert.deepEqual(await opened, [0]);
});

test("a request that the broker refuses for the moment is a loss; one that is wrong is not", async () => {
  const broker = memory();
  let refusals = 2;
  const transport = watched(broker, (inner) => ({
    send: (batch) =>
      batch[0]?.to.name === Count.name && refusals-- > 0
        ? Promise.reject(new WaybillError("TRANSPORT_FAILED", "not now", { retryable: true }))
        : inner.send(batch),
  }));
  await using _ = await tested([numbers([])], { transport: broker });
  await using client = await tested([counter], { transport });
  assert.deepEqual(await Array.fromAsync(client.bus.open(Count, { count: 2 })), [0, 1]);
  assert.equal((await client.counted(Count.name))["resumed"], 2);
  await assert.rejects(Array.fromAsync(client.bus.open(Count, { count: "2" } as never)), {
    code: "MESSAGE_INVALID",
  });
  assert.equal((await client.counted(Count.name))["resumed"], 2);
});

test("cancelling while it waits for the next attempt, or for an answer, ends it at once", async () => {
  const environment = manualEnvironment();
  await using it = await tested([counter], { environment });
  for (const passedMs of [3_000, 6_000 + 10]) {
    const controller = new AbortController();
    const opened = assert.rejects(
      Array.fromAsync(
        it.bus.open(Count, { count: 1 }, { signal: controller.signal, resume: { delayMs: 1_000 } }),
      ),
      { code: "CALL_CANCELLED" },
    );
    await environment.advance(passedMs);
    controller.abort();
    await opened;
  }
  assert.equal(environment.timersSet <= 2, true, `${environment.timersSet} timers are left`);
});

test("cancelling does not wait for a broker that hangs", async () => {
  const hanging = gate();
  const transport = watched(memory(), (inner) => ({
    send: async (batch) => (await hanging.passed, inner.send(batch)),
  }));
  await using it = await tested([counter], { transport });
  const controller = new AbortController();
  const opened = it.bus.open(Count, { count: 1 }, { signal: controller.signal });
  const rejected = assert.rejects(Array.fromAsync(opened), { code: "CALL_CANCELLED" });
  await turns();
  controller.abort();
  await rejected;
  hanging.open();
});

test("a bus that closes ends a feed that is being opened again", async () => {
  const environment = manualEnvironment();
  const it = await tested([counter], { environment });
  const opened = assert.rejects(Array.fromAsync(it.bus.open(Count, { count: 1 })), {
    code: "CLOSED",
  });
  await environment.advance(6_000 + 10);
  await it.bus.close();
  await opened;
});

test("the deadline spans all resumes, and the server has it too", async () => {
  const environment = manualEnvironment();
  const broker = memory();
  const deadlines: (string | undefined)[] = [];
  const tell = service("numbers").serve(Count, async function* (_input, context) {
    deadlines.push(context.header.deadline);
    yield deadlines.length;
    await context.sleep(600_000);
  });
  await using client = await tested([counter], { transport: broker, environment });
  const first = await mortal([tell], broker, environment);
  const opened = assert.rejects(
    Array.fromAsync(client.bus.open(Count, { count: 1 }, { timeoutMs: 20_000 })),
    { code: "DEADLINE_EXCEEDED" },
  );
  await environment.advance(3_000);
  first.kill();
  await mortal([tell], broker, environment);
  await environment.advance(16_000);
  const inTime = new Date(Date.UTC(2030, 0, 1) + 20_000).toISOString();
  assert.deepEqual(deadlines, [inTime, inTime]);
  await environment.advance(1_000);
  await opened;
});

test("a feed that a handler opens ends with the deadline of its caller", async () => {
  const environment = manualEnvironment();
  const Sum = query("numbers.sum", { input: Range, output: z.number() });
  const summing = service("sum", { opens: [Count] }).answer(Sum, async (input, context) => {
    for await (const _ of context.open(Count, input)) continue;
    return 1;
  });
  const deadlines: (string | undefined)[] = [];
  const endless = service("numbers").serve(Count, async function* (_input, context) {
    deadlines.push(context.header.deadline);
    yield 1;
    await context.sleep(600_000);
  });
  await using it = await tested([service("asker", { asks: [Sum] }), summing, endless], {
    environment,
  });
  const asked = assert.rejects(it.bus.ask(Sum, { count: 1 }, { timeoutMs: 500 }), {
    code: "DEADLINE_EXCEEDED",
  });
  await environment.advance(600);
  await asked;
  assert.deepEqual(deadlines, [new Date(Date.UTC(2030, 0, 1) + 500).toISOString()]);
});

for (const [options, pattern] of [
  [{ resume: { attempts: 0 } }, /resume.attempts is 0; give 1 to 1000/],
  [{ resume: { withinMs: Number.NaN } }, /resume.withinMs is NaN/],
  [{ resume: { delayMs: "5" } }, /resume.delayMs is 5/],
  [{ resumeFrom: Number.NaN }, /resumeFrom is no cursor/],
  [{ resumeFrom: "x".repeat(257) }, /resumeFrom is no cursor/],
  [{ timeoutMs: 0 }, /timeoutMs of "numbers.count" is 0/],
  [{ timeoutMs: 604_800_001 }, /give milliseconds up to 604800000/],
] as const) {
  test(`opening with ${JSON.stringify(options).slice(0, 60)} is refused`, async () => {
    await using it = await tested([counter]);
    await assert.rejects(Array.fromAsync(it.bus.open(Count, { count: 1 }, options as never)), {
      code: "OPTION_INVALID",
      message: pattern,
    });
  });
}

test("a feed without resume takes neither a cursor nor a policy", async () => {
  await using it = await tested([counter]);
  for (const options of [{ resumeFrom: 1 }, { resume: {} }, { resume: false }]) {
    await assert.rejects(Array.fromAsync(it.bus.open(Plain, { count: 1 }, options as never)), {
      code: "OPTION_INVALID",
      message: /cannot be resumed/,
    });
  }
});

// What no bus would send.

test("a caller whose contract resumes is refused by a server whose contract does not", async () => {
  const broker = memory();
  const Older = feed("numbers.count", { input: Range, item: z.number() });
  const older = service("numbers").serve(Older, () => assert.fail("it ran"));
  await using _ = await tested([older], { transport: broker });
  await using client = await tested([counter], { transport: broker });
  await assert.rejects(Array.fromAsync(client.bus.open(Count, { count: 1 }, { resumeFrom: 1 })), {
    code: "FEED_FAILED",
    message: /cannot go on there: its contract has no resume/,
  });
});

test("a gap in the items is a loss: what came before it is kept, what comes late is refused", async () => {
  const broker = memory();
  await using it = await tested([counter], { transport: broker });
  await using wire = await foreigner(broker);
  const requests = await framesAt(wire, Count.name);
  const heard = await framesAt(wire, "replies.server");
  const items = it.bus.open(Count, { count: 9 })[Symbol.asyncIterator]();
  const first = items.next();
  await until("the request", () => requests.length === 1);
  const say = async ({ header }: Envelope, sequence: number, item?: string) => {
    const { replyto = "", correlationid = "" } = header;
    const fields = { correlationid, replyto: "replies.server", sequence: String(sequence) };
    const type = item === undefined ? "waybill.end" : "waybill.item";
    const to = { kind: "queue", name: replyto } as const;
    await wire.send([{ to, envelope: envelopeOf(type, item ?? "", fields) }]);
  };
  const [request] = requests as [Envelope];
  await say(request, 0, "10"); // before the frame that says who serves
  assert.equal((await first).value, 10);
  await say(request, 2, "12");
  const second = items.next();
  await until("it is opened again", () => requests.length === 2);
  await say(request, 1, "666");
  await say(request, 2, "667");
  const again = requests[1] as Envelope;
  assert.equal(again.header.resumefrom, "10");
  assert.notEqual(again.header.correlationid, request.header.correlationid);
  await say(again, 0, "10");
  await say(again, 1, "11");
  await say(again, 2);
  assert.equal((await second).value, 11);
  assert.equal((await items.next()).done, true);
  assert.ok(heard.some(({ header }) => header.type === "waybill.cancel"));
  await until("late ones are counted", async () => (await it.bus.health()).replies.late === 2);
});

for (const [what, of] of [
  ["is too long", () => "x".repeat(257)],
  ["is no cursor", () => undefined as never],
  [
    "cannot be found",
    () => {
      throw new Error("no such field");
    },
  ],
] as const) {
  test(`an item whose cursor ${what} ends the feed`, async () => {
    const Tail = feed("names.tail", {
      input: Range,
      item: z.string(),
      resume: { cursor: z.string(), of },
    });
    const names = service("names").serve(Tail, async function* () {
      yield "a";
    });
    await using it = await tested([service("reader", { opens: [Tail] }), names]);
    await assert.rejects(Array.fromAsync(it.bus.open(Tail, { count: 1 })), {
      code: "ANSWER_INVALID",
      message: /Mend resume.of in its contract/,
    });
  });
}

test("a number and a text are not compared", async () => {
  const Mixed = feed("mixed.tail", {
    input: Range,
    item: z.union([z.string(), z.number()]),
    resume: { cursor: z.union([z.string(), z.number()]), of: (item) => item },
  });
  const mixed = service("mixed").serve(Mixed, async function* () {
    yield* [1, "2"];
  });
  await using it = await tested([service("reader", { opens: [Mixed] }), mixed]);
  await assert.rejects(Array.fromAsync(it.bus.open(Mixed, { count: 1 })), {
    code: "ANSWER_INVALID",
    message: /a number and a text cannot be compared/,
  });
});
