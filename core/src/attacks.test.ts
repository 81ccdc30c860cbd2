import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { command, feed, query, type Rule } from "@waybill/contracts";
import * as z from "zod";
import { connect } from "./connect.ts";
import type { Body, Header } from "./envelope.ts";
import { memory } from "./memory/index.ts";
import { compileRule } from "./rules.ts";
import { service } from "./service.ts";
import { envelopeOf, foreigner, framesAt, tested, until } from "./testing.fixture.ts";

/** Every attack has a row in docs/attacks.md under its name. */
const table = readFileSync(join(import.meta.dirname, "../../docs/attacks.md"), "utf8");

function attack(name: string, title: string, run: () => Promise<void> | void): void {
  test(`${name}: ${title}`, async () => {
    assert.ok(table.includes(`| \`${name}\` |`), `docs/attacks.md has no row for ${name}`);
    await run();
  });
}

const Take = command("attacked.take", {
  input: z.object({ id: z.string().max(50), note: z.unknown().optional() }),
});
const good = '{"id":"1"}';

/** What becomes of a message that a stranger puts into the queue: the reason of its dead letter, or "handled". */
async function fate(body: Body, header: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const transport = memory();
  let handled = 0;
  await using it = await tested([service("attacked").handle(Take, () => void (handled += 1))], {
    transport,
  });
  await using wire = await foreigner(transport);
  const envelope = envelopeOf(Take.name, body, header);
  await wire.send([{ to: { kind: "queue", name: Take.queue }, envelope }]);
  let reason: string | undefined;
  await until("it is settled", async () => {
    reason = (await it.bus.deadLetters.list())[0]?.failure?.reason;
    return handled > 0 || reason !== undefined;
  });
  return reason ?? "handled";
}

attack("proto-key", "a __proto__ key in a body is refused and changes no prototype", async () => {
  assert.equal(
    await fate('{"id":"1","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}'),
    "DECODE_FAILED",
  );
  assert.equal(Object.hasOwn(Object.prototype, "polluted"), false);
});

attack("json-deep", "JSON nested 200,000 deep is refused", async () => {
  assert.equal(await fate("[".repeat(200_000) + "]".repeat(200_000)), "DECODE_FAILED");
});

attack(
  "json-deep-sent",
  "what is nested too deep to be written is refused to its sender",
  async () => {
    await using it = await tested([service("attacked").handle(Take, () => {})]);
    const note: unknown = JSON.parse("[".repeat(200_000) + "]".repeat(200_000));
    await assert.rejects(it.bus.send(Take, { id: "1", note }), {
      code: "MESSAGE_INVALID",
      message: /"attacked.take" .*cannot be written as application\/json/,
    });
  },
);

attack("not-utf8", "bytes that are no UTF-8 are refused, not repaired", async () => {
  assert.equal(await fate(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), "DECODE_FAILED");
});

attack("not-json", "a body cut short or with a NUL is refused", async () => {
  assert.equal(await fate('{"id":"1"'), "DECODE_FAILED");
  assert.equal(await fate('{"id":"1"}\0'), "DECODE_FAILED");
});

attack("header-types", "header fields of wrong types neither crash nor count", async () => {
  const wrong = [null, 7, -1, true, [], {}, "\r\n\0"];
  for (const field of [
    "id",
    "source",
    "time",
    "subject",
    "traceparent",
    "replyto",
    "partitionkey",
    "calldepth",
    "correlationid",
    "conversationid",
    "attributes",
  ])
    for (const value of wrong) assert.equal(await fate(good, { [field]: value }), "handled", field);
});

attack("type-wrong", "a type that is no known name is set aside", async () => {
  for (const type of ["__proto__", "constructor", "attacked.take\r\n", "attacked.take\0"])
    assert.equal(await fate(good, { type }), "TYPE_UNKNOWN", type);
});

attack("dataschema", "a schema that is no version of ours is VERSION_UNKNOWN", async () => {
  for (const dataschema of [
    "urn:waybill:attacked.take:-1",
    "urn:waybill:attacked.take:1e400",
    "urn:waybill:",
    "urn:waybill:attacked.take:99",
    5,
    {},
  ])
    assert.equal(await fate(good, { dataschema }), "VERSION_UNKNOWN");
  assert.equal(await fate(good, { dataschema: "https://elsewhere/schema" }), "handled");
});

attack(
  "expirytime",
  "an expiry that is no date does not count; one that has passed does",
  async () => {
    for (const expirytime of ["soon", "+275760-09-13T00:00:00.001Z", "9999-12-31T23:59:59Z", {}])
      assert.equal(await fate(good, { expirytime }), "handled");
    assert.equal(await fate(good, { expirytime: "1970-01-01T00:00:00Z" }), "EXPIRED");
  },
);

attack("time-far", "a time far in the future or of no form changes nothing", async () => {
  for (const time of ["9999-12-31T23:59:59Z", "+999999-01-01T00:00:00Z", "yesterday"])
    assert.equal(await fate(good, { time }), "handled");
});

const Inner = query("attacked.inner", { input: z.object({}), output: z.number() });

/** What a handler gets that asks while a stranger's header stands above it. */
async function askUnder(header: Readonly<Record<string, unknown>>): Promise<string> {
  const transport = memory();
  let answer: string | undefined;
  const outer = service("outer", { asks: [Inner] }).handle(Take, async (_value, context) => {
    answer = await context.ask(Inner, {}).then(String, (error: { code: string }) => error.code);
  });
  let depth: unknown;
  const inner = service("inner").answer(Inner, (_value, context) => {
    depth = context.header.calldepth;
    return 1;
  });
  await using _it = await tested([outer, inner], {
    transport,
    callDepth: { max: 3, policy: "refuse" },
  });
  await using wire = await foreigner(transport);
  const envelope = envelopeOf(Take.name, good, header);
  await wire.send([{ to: { kind: "queue", name: Take.queue }, envelope }]);
  await until("it has asked", () => answer !== undefined);
  return `${answer} at depth ${String(depth)}`;
}

attack("calldepth", "a depth that is none begins at 1; one over the limit is refused", async () => {
  for (const calldepth of [-1, -1e308, 1e308, 0.5, "7", null, {}])
    assert.equal(await askUnder({ calldepth }), "1 at depth 1");
  assert.equal(await askUnder({ calldepth: 3 }), "CALL_DEPTH_EXCEEDED at depth undefined");
});

attack(
  "deadline",
  "a deadline that is no date, or has passed, leaves no time; a far one gives no more than the call's own",
  async () => {
    for (const deadline of ["never", "1970-01-01T00:00:00Z", {}])
      assert.equal(await askUnder({ deadline }), "DEADLINE_EXCEEDED at depth undefined");
    assert.equal(await askUnder({ deadline: "+275760-09-13T00:00:00Z" }), "1 at depth 1");
  },
);

attack(
  "reply-address",
  "a request whose reply address is no reply queue is set aside, and nothing is sent there",
  async () => {
    const transport = memory();
    let ran = 0;
    await using it = await tested(
      [
        service("inner").answer(Inner, () => (ran += 1)),
        service("attacked").handle(Take, () => {}),
      ],
      { transport },
    );
    await using wire = await foreigner(transport);
    for (const replyto of [
      Take.queue,
      "replies.a/../attacked.take",
      "replies.",
      "replies.a\n",
      "x".repeat(10_000),
      7,
      undefined,
    ]) {
      const header = { correlationid: "c", replyto } as unknown as Partial<Header>;
      await wire.send([
        { to: { kind: "queue", name: Inner.name }, envelope: envelopeOf(Inner.name, "{}", header) },
      ]);
    }
    await until("all are set aside", async () => (await it.bus.deadLetters.list()).length === 7);
    const reasons = (await it.bus.deadLetters.list()).map(({ failure }) => failure?.reason);
    assert.deepEqual([...new Set(reasons)], ["TYPE_UNKNOWN"]);
    assert.equal(ran, 0);
  },
);

attack(
  "resume-from",
  "a feed asked to go on after what is no cursor of its contract is refused; its handler does not run",
  async () => {
    const Tail = feed("attacked.tail", {
      input: z.object({}),
      item: z.int(),
      resume: { cursor: z.int(), of: (item) => item },
    });
    const transport = memory();
    const tail = service("attacked").serve(Tail, () => assert.fail("it ran"));
    await using _ = await tested([tail], { transport });
    await using wire = await foreigner(transport);
    const frames = await framesAt(wire, "replies.me");
    const strange = [
      "",
      "{",
      "null",
      "[1]",
      '{"__proto__":{"polluted":true}}',
      "1e999",
      '"3"',
      JSON.stringify("x".repeat(257)),
      "9".repeat(50_000),
      "[".repeat(50_000),
      3,
      {},
    ];
    for (const [index, resumefrom] of strange.entries()) {
      const call = { replyto: "replies.me", correlationid: `c-${index}`, sequence: "5" };
      const fields = { ...call, resumefrom };
      const to = { kind: "queue", name: Tail.name } as const;
      await wire.send([{ to, envelope: envelopeOf(Tail.name, "{}", fields as Partial<Header>) }]);
    }
    const errors = (): readonly string[] =>
      frames
        .filter(({ header }) => header.type === "waybill.error")
        .map(({ body }) => String(body));
    await until("all are refused", () => errors().length === strange.length);
    for (const error of errors())
      assert.equal((JSON.parse(error) as { code: string }).code, "MESSAGE_INVALID");
    assert.equal(Object.hasOwn(Object.prototype, "polluted"), false);
  },
);

attack(
  "correlation-id",
  "an answer with a guessed or strange correlation id reaches no call and is counted",
  async () => {
    const transport = memory();
    const caller = service("caller", { asks: [Inner] });
    await using it = await tested([caller], { transport });
    await using wire = await foreigner(transport);
    await wire.declare({
      queues: [{ name: Inner.name }],
      topics: [],
      subscriptions: [],
      streams: [],
    });
    const asked = it.bus.ask(Inner, {}, { timeoutMs: 400 });
    let replyto = "";
    wire.receive(
      { kind: "queue", name: Inner.name },
      { prefetch: 1, prefetchBytes: 1e6, lockMs: 10_000 },
      {
        deliver: ([delivery]) => void (replyto = delivery?.envelope.header.replyto ?? ""),
        fault: assert.ifError,
      },
    );
    await until("the request is there", () => replyto !== "");
    for (const correlationid of ["guessed", "__proto__", "", "x".repeat(10_000), 7, null]) {
      const header = { correlationid } as unknown as Partial<Header>;
      await wire.send([
        {
          to: { kind: "queue", name: replyto },
          envelope: envelopeOf("waybill.answer", "666", header),
        },
      ]);
    }
    await until("all are counted", async () => (await it.bus.health()).replies.forged === 6);
    await assert.rejects(asked, { code: "DEADLINE_EXCEEDED" });
  },
);

attack(
  "names",
  "names with line ends, NUL, blanks or paths are refused at start, all in one error",
  async () => {
    for (const name of [
      "a\r\nb",
      "a\0b",
      "../../etc/passwd",
      "a/b",
      "__proto__",
      "A",
      "",
      "x".repeat(200),
      "waybill.own",
      "replies.mine",
    ]) {
      const contract = command(name, { input: z.object({}) });
      await assert.rejects(
        async () =>
          connect({ transport: memory(), services: [service("a").handle(contract, () => {})] }),
        { code: "WIRING_INVALID" },
        JSON.stringify(name),
      );
    }
  },
);

attack(
  "rule-pattern",
  "rules know no regular expressions: such an operator is refused, and as text it is only text",
  () => {
    for (const operator of ["pattern", "regex", "matches", "$regex", "like"])
      assert.throws(() => compileRule({ name: { [operator]: "^(a+)+$" } }), {
        name: "RangeError",
        message: /unknown operator; known are eq/,
      });
    const rule = compileRule({ name: { prefix: "(a+)+$" } });
    assert.equal(rule.matches({ name: "a".repeat(100_000) }), false);
  },
);

attack(
  "rule-size",
  "rules are bounded in tests, groups and depth, and hold plain objects only",
  () => {
    const many = Object.fromEntries(Array.from({ length: 201 }, (_, index) => [`a${index}`, 1]));
    let deep: unknown = { a: 1 };
    for (let depth = 0; depth < 10_000; depth++) deep = { not: deep };
    for (const [rule, message] of [
      [many, /at most 200 tests/],
      [{ or: Array.from({ length: 1_000_000 }, () => ({})) }, /at most 200 groups/],
      [deep, /nest at most 8 deep/],
      [{ a: { gt: Number.NaN } }, /number or text/],
      [new Map(), /an object of tests/],
    ] as const)
      assert.throws(() => compileRule(rule as Rule), { name: "RangeError", message });
    assert.equal(compileRule(JSON.parse('{"__proto__":1}') as Rule).matches({}), false);
  },
);

attack("duplicate-id", "two messages of one id are two messages", async () => {
  const transport = memory();
  let handled = 0;
  await using _it = await tested([service("attacked").handle(Take, () => void (handled += 1))], {
    transport,
  });
  await using wire = await foreigner(transport);
  const envelope = envelopeOf(Take.name, good);
  const to = { kind: "queue", name: Take.queue } as const;
  await wire.send([
    { to, envelope },
    { to, envelope },
  ]);
  await until("both", () => handled === 2);
});
