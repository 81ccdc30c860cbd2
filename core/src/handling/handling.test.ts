import assert from "node:assert/strict";
import { test } from "node:test";
import { command, event, query, stream } from "@waybill/contracts";
import * as z from "zod";
import { jsonCodec } from "../codec.ts";
import { connect } from "../connect.ts";
import { type Body, schemaUri } from "../envelope.ts";
import { WaybillError } from "../errors.ts";
import { memory } from "../memory/index.ts";
import { complete, deadLetter, defer, retry } from "./outcome.ts";
import type { IncomingStep, UserStep } from "./pipeline.ts";
import type { StoredMessage } from "../ports/transport.ts";
import { service } from "../service.ts";
import {
  envelopeOf,
  foreigner,
  deadLetterOf,
  gate,
  recordingLogger,
  tested,
  turns,
  until,
  watched,
} from "../testing.fixture.ts";

const Job = z.object({ id: z.string(), key: z.string().default("k") });
const Run = command("jobs.run", { input: Job });
const Ran = event("jobs.ran", { payload: Job });
const Log = stream("jobs.log", { item: Job, key: ({ key }) => key, partitions: 1 });
const job = (id: string, key = "k"): { id: string; key: string } => ({ id, key });

/** Sends a body to `jobs.run` that no bus would send. */
async function inject(
  body: Body,
  header: Parameters<typeof envelopeOf>[2] = {},
  contract = Run,
): Promise<{ letter: StoredMessage; handled: unknown[] }> {
  const transport = memory();
  const handled: unknown[] = [];
  await using it = await tested(
    [service("jobs").handle(contract, (value) => void handled.push(value))],
    { transport },
  );
  await using wire = await foreigner(transport);
  await wire.send([
    {
      to: { kind: "queue", name: contract.queue },
      envelope: envelopeOf(contract.name, body, header),
    },
  ]);
  return { letter: await deadLetterOf(it.bus), handled };
}

// Outcomes.

test("a handler that returns nothing or complete() is done, and what it sent has left", async () => {
  const seen: string[] = [];
  const jobs = service("jobs", { publishes: [Ran] }).handle(Run, async (value, context) => {
    await context.publish(Ran, value);
    return value.id === "1" ? undefined : complete();
  });
  await using it = await tested([jobs, service("log").on(Ran, ({ id }) => void seen.push(id))]);
  await it.bus.send(Run, job("1"));
  await it.bus.send(Run, job("2"));
  await until("both", () => seen.length === 2);
  assert.equal((await it.counted("jobs.run"))["handled"], 2);
  assert.equal((await it.counted("jobs.ran"))["sent"], 2);
});

for (const [name, outcome] of [
  ["retry", retry({ afterMs: 60_000 })],
  ["deadLetter", deadLetter("not for us")],
  ["defer", defer()],
] as const) {
  test(`what a handler sent does not leave when it answers ${name}`, async () => {
    const jobs = service("jobs", { publishes: [Ran] }).handle(Run, async (value, context) => {
      await context.publish(Ran, value);
      return outcome;
    });
    await using it = await tested([jobs, service("log").on(Ran, () => assert.fail("it left"))]);
    await it.bus.send(Run, job("1"));
    const state = { retry: "scheduled", deadLetter: "dead", defer: "deferred" }[name] as
      | "scheduled"
      | "dead"
      | "deferred";
    await until(state, async () =>
      (await it.bus.health()).addresses.some(
        (each) => each.address === "jobs.run" && each[state] === 1,
      ),
    );
    assert.equal((await it.counted("jobs.ran"))["sent"] ?? 0, 0);
  });
}

test("deadLetter() keeps its reason, and the letter can be replayed", async () => {
  let runs = 0;
  await using it = await tested([
    service("jobs").handle(Run, () => (++runs === 1 ? deadLetter("not for us") : undefined)),
  ]);
  await it.bus.send(Run, job("1"));
  const letter = await deadLetterOf(it.bus);
  assert.equal(letter.failure?.reason, "HANDLER_FAILED");
  assert.equal(letter.failure.message, "not for us");
  assert.equal(letter.failure.handler, "jobs.handle(jobs.run)");
  assert.equal(letter.failure.service, "jobs");
  assert.equal(await it.bus.deadLetters.replay([letter.handle]), 1);
  await until("the second run", () => runs === 2);
  assert.deepEqual(await it.bus.deadLetters.list(), []);
});

test("defer() sets aside until it is resumed", async () => {
  let runs = 0;
  await using it = await tested([
    service("jobs").handle(Run, () => (++runs === 1 ? defer() : undefined)),
  ]);
  await it.bus.send(Run, job("1"));
  await until("deferred", async () => (await it.bus.deferred.list()).length === 1);
  const [aside] = await it.bus.deferred.list();
  await it.bus.deferred.replay([aside!.handle]);
  await until("resumed", () => runs === 2);
  assert.equal((await it.counted("jobs.run"))["deferred"], 1);
});

test("defer() in a stream, which cannot, ends among the dead letters and not in silence", async () => {
  await using it = await tested([service("jobs", { appends: [Log] }).consume(Log, () => defer())]);
  await it.bus.append(Log, job("1"));
  assert.equal((await deadLetterOf(it.bus)).failure?.reason, "NOT_SUPPORTED");
});

test("an outcome that does not exist is an error that names those that do", async () => {
  await using it = await tested([
    service("jobs").handle(Run, (() => ({ outcome: "approved" })) as never),
  ]);
  await it.bus.send(Run, job("1"));
  assert.match(
    (await deadLetterOf(it.bus)).failure?.message ?? "",
    /outcome approved; return complete\(\), retry\(\), deadLetter\(\), defer\(\)/,
  );
});

for (const afterMs of [-1, Number.NaN, Infinity]) {
  test(`retry({ afterMs: ${afterMs} }) is refused`, () => {
    assert.throws(() => retry({ afterMs }), { code: "OPTION_INVALID" });
  });
}

// What a handler sends.

const Late = z.object({ id: z.string() }).refine(async ({ id }) => {
  await turns(2);
  return id !== "bad";
}, "bad id");
const Slow = event("jobs.slow", { payload: Late });

test("sends that nobody awaited are held and leave with the success, asynchronous schemas included", async () => {
  const seen: string[] = [];
  const jobs = service("jobs", { publishes: [Ran, Slow] }).handle(Run, (value, context) => {
    void context.publish(Ran, value);
    void context.publish(Slow, value);
  });
  await using it = await tested([
    jobs,
    service("log")
      .on(Ran, () => void seen.push("ran"))
      .on(Slow, () => void seen.push("slow")),
  ]);
  await it.bus.send(Run, job("1"));
  await until("both", () => seen.length === 2);
});

for (const [name, contract, value] of [
  ["a synchronous", Ran, { id: 1 }],
  ["an asynchronous", Slow, { id: "bad" }],
] as const) {
  test(`a refused send that nobody awaited fails the handler and not the process (${name} schema)`, async () => {
    const jobs = service("jobs", { publishes: [Ran, Slow] }).handle(Run, (_value, context) => {
      void context.publish(contract as typeof Ran, value as never);
    });
    await using it = await tested([jobs]);
    await it.bus.send(Run, job("1"));
    const letter = await deadLetterOf(it.bus);
    assert.equal(letter.failure?.reason, "MESSAGE_INVALID");
    assert.match(letter.failure.message, /to be sent does not fit its contract/);
  });

  test(`a refused send that the handler caught is the handler's own business (${name} schema)`, async () => {
    const caught: unknown[] = [];
    const jobs = service("jobs", { publishes: [Ran, Slow] }).handle(
      Run,
      async (_value, context) => {
        await context
          .publish(contract as typeof Ran, value as never)
          .catch((error: unknown) => caught.push(error));
      },
    );
    await using it = await tested([jobs]);
    await it.bus.send(Run, job("1"));
    await until("handled", async () => (await it.counted("jobs.run"))["handled"] === 1);
    assert.equal((caught[0] as WaybillError).code, "MESSAGE_INVALID");
  });
}

test("what a failed immediate run sent does not leave with the run that succeeds", async () => {
  const seen: string[] = [];
  let runs = 0;
  const jobs = service("jobs", { publishes: [Ran, Slow] }).handle(Run, async (_value, context) => {
    runs += 1;
    await context.publish(Ran, job(`awaited ${runs}`));
    void context.publish(Slow, job(`floating ${runs}`)); // its schema is still busy when the run fails
    if (runs === 1) throw new Error("glitch");
    await turns(10);
  });
  await using it = await tested([
    jobs,
    service("log")
      .on(Ran, ({ id }) => void seen.push(id))
      .on(Slow, ({ id }) => void seen.push(id)),
  ]);
  await it.bus.send(Run, job("1"));
  await until("handled", async () => (await it.counted("jobs.run"))["handled"] === 1);
  await until("both", () => seen.length >= 2);
  assert.deepEqual(seen.toSorted(), ["awaited 2", "floating 2"]);
});

test("what a failed run did to its input is forgotten by the next one", async () => {
  const seen: string[] = [];
  await using it = await tested([
    service("jobs").handle(Run, (value) => {
      seen.push(value.id);
      value.id = "changed";
      if (seen.length === 1) throw new Error("glitch");
    }),
  ]);
  await it.bus.send(Run, job("1"));
  await until("two runs", () => seen.length === 2);
  assert.deepEqual(seen, ["1", "1"]);
});

test("a send after the handler has ended is refused, because it would vanish", async () => {
  let late: Promise<unknown> | undefined;
  const jobs = service("jobs", { publishes: [Ran] }).handle(Run, (value, context) => {
    late = turns(3).then(() => context.publish(Ran, value));
    late.catch(() => undefined);
  });
  await using it = await tested([jobs]);
  await it.bus.send(Run, job("1"));
  await until("it started", () => late !== undefined);
  await assert.rejects(late!, {
    code: "CLOSED",
    message: /after the handler had ended. Await every send/,
  });
});

test("a send to nowhere fails the handler: nothing is acknowledged that did not leave", async () => {
  const transport = memory({ bodyBytesMax: 1_000 });
  const jobs = service("jobs", { publishes: [Ran] }).handle(
    Run,
    async (_value, context) => void (await context.publish(Ran, job("x".repeat(2_000)))),
  );
  await using it = await tested([jobs], { transport });
  await it.bus.send(Run, job("1"));
  assert.equal((await deadLetterOf(it.bus)).failure?.reason, "BODY_TOO_LARGE");
});

test("a transport without one transaction gets the messages first and the settlement after them", async () => {
  const order: string[] = [];
  const transport = watched(memory(), (inner) => ({
    capabilities: { ...inner.capabilities, atomicSettle: false },
    send: (batch) => (order.push(...batch.map(({ to }) => `send ${to.name}`)), inner.send(batch)),
    receive: (source, options, listener) =>
      inner.receive(source, options, {
        ...listener,
        deliver: (batch) => {
          for (const delivery of batch) {
            const settle = delivery.settle.bind(delivery);
            delivery.settle = (settlement) => {
              order.push(`${settlement.kind} ${delivery.envelope.header.type}`);
              assert.ok(!("send" in settlement), "it cannot send with it");
              return settle(settlement);
            };
          }
          listener.deliver(batch);
        },
      }),
  }));
  const Get = query("jobs.get", { input: Job, output: Job });
  const jobs = service("jobs", { publishes: [Ran], asks: [Get] })
    .handle(Run, async (value, context) => void (await context.publish(Ran, value)))
    .answer(Get, (value) => value);
  await using it = await tested([jobs], { transport, localCalls: false });
  await it.bus.send(Run, job("1"));
  await until("settled", () => order.includes("complete jobs.run"));
  assert.deepEqual(order, ["send jobs.run", "send jobs.ran", "complete jobs.run"]);
  assert.deepEqual(await it.bus.ask(Get, job("2")), job("2"));
});

test("what is sent for a contract that the service does not declare is refused with the line to add", async () => {
  const jobs = service("jobs").handle(Run, (value, context) =>
    (context as any).publish(Ran, value),
  );
  await using it = await tested([jobs, service("log").on(Ran, () => undefined)]);
  await it.bus.send(Run, job("1"));
  const { failure } = await deadLetterOf(it.bus);
  assert.equal(failure?.reason, "CONTRACT_NOT_DECLARED");
  assert.match(failure.message, /service\("jobs", \{ publishes: \[\.\.\.\] \}\)/);
});

test("an attribute with a name that no rule could name is refused where it is made", async () => {
  const Odd = event("jobs.odd", { payload: Job, attributes: () => ({ "a-b": 1 }) });
  await using it = await tested([service("jobs", { publishes: [Odd] })]);
  await assert.rejects(it.bus.publish(Odd, job("1")), {
    code: "MESSAGE_INVALID",
    message: /attribute "a-b"/,
  });
});

test("a message carries its conversation and its cause through a chain", async () => {
  const headers: Record<string, { id: string; conversationid: string; causationid?: string }> = {};
  const chain = service("jobs", { publishes: [Ran] }).handle(Run, async (value, context) => {
    headers["run"] = context.header;
    await context.publish(Ran, value);
  });
  await using it = await tested([
    chain,
    service("log").on(Ran, (_value, context) => void (headers["ran"] = context.header)),
  ]);
  const { id } = await it.bus.send(Run, job("1"));
  await until("the chain's end", () => headers["ran"] !== undefined);
  assert.equal(headers["run"]?.conversationid, id);
  assert.equal(headers["ran"]?.conversationid, id);
  assert.equal(headers["ran"]?.causationid, id);
});

// Bodies that are not what they should be.

for (const [name, body] of [
  ["broken JSON", '{"id":'],
  ["nothing", ""],
  ["text that is not UTF-8", new Uint8Array([0x22, 0xff, 0xfe, 0x22])],
] as const) {
  test(`a body of ${name} ends among the dead letters after one attempt and no run`, async () => {
    const { letter, handled } = await inject(body);
    assert.equal(letter.failure?.reason, "DECODE_FAILED");
    assert.equal(letter.failure.attempts, 1);
    assert.deepEqual(handled, []);
  });
}

test("a body that its schema refuses ends among the dead letters, each issue named", async () => {
  const { letter, handled } = await inject('{"id":5,"key":6}');
  assert.equal(letter.failure?.reason, "MESSAGE_INVALID");
  assert.match(letter.failure.message, /id: .*; key: /);
  assert.deepEqual(handled, []);
});

test("a body with a key __proto__, escaped or not, is refused and reaches no handler", async () => {
  for (const key of ["__proto__", "\\u005f_proto__"]) {
    const { letter, handled } = await inject(`{"id":"1","more":[{"${key}":{"admin":true}}]}`);
    assert.equal(letter.failure?.reason, "DECODE_FAILED");
    assert.match(
      letter.failure.message,
      /not readable as application\/json: it has a key __proto__/,
    );
    assert.deepEqual(handled, []);
    assert.equal(({} as any).admin, undefined);
  }
});

test("JSON nested 200,000 deep kills nothing, handled by a schema that takes all and by one that descends", async () => {
  const deep = `${"[".repeat(200_000)}${"]".repeat(200_000)}`;
  interface Tree {
    children: Tree[];
  }
  const Node: z.ZodType<Tree> = z.lazy(() => z.object({ children: z.array(Node) }));
  const tree = `${'{"children":['.repeat(60_000)}${"]}".repeat(60_000)}`;
  const { letter } = await inject(tree, {}, command("jobs.run", { input: Node }) as never);
  assert.equal(letter.failure?.reason, "DECODE_FAILED");
  assert.match(letter.failure.message, /nested deeper than 1000 levels/);

  const transport = memory();
  const Any = command("jobs.any", { input: z.any() });
  const AnyDone = event("jobs.any-done", { payload: z.any() });
  const jobs = service("jobs", { publishes: [AnyDone] }).handle(
    Any,
    async (value, context) => void (await context.publish(AnyDone, value)),
  );
  await using it = await tested([jobs], { transport });
  await using wire = await foreigner(transport);
  await wire.send([
    { to: { kind: "queue", name: "jobs.any" }, envelope: envelopeOf("jobs.any", deep) },
  ]);
  const { failure } = await deadLetterOf(it.bus);
  assert.equal(failure?.reason, "DECODE_FAILED");
  await it.bus.send(Any, 1);
  await until(
    "the next one is handled",
    async () => (await it.counted("jobs.any"))["handled"] === 1,
  );
});

function schemaOf(validate: (value: unknown) => unknown): z.ZodType<{ id: string }> {
  return { "~standard": { version: 1, vendor: "test", validate } } as never;
}

test("a schema that throws, or gives no result, is named and its message set aside", async () => {
  for (const validate of [
    (): never => {
      throw new Error("broken schema");
    },
    () => Promise.reject(new Error("broken schema")),
    () => undefined,
  ]) {
    const { letter } = await inject(
      "{}",
      {},
      command("jobs.run", { input: schemaOf(validate) }) as never,
    );
    assert.equal(letter.failure?.reason, "MESSAGE_INVALID");
    assert.match(letter.failure.message, /schema of "jobs.run" threw/);
  }
});

test("a schema that throws refuses what is to be sent, too", async () => {
  const Broken = command("jobs.broken", {
    input: schemaOf(() => {
      throw new Error("broken schema");
    }),
  });
  await using it = await tested([service("jobs", { sends: [Broken] })]);
  await assert.rejects(it.bus.send(Broken, { id: "1" }), {
    code: "MESSAGE_INVALID",
    message: /threw/,
  });
});

test("a schema that gives `issues: undefined` beside its value accepts", async () => {
  const handled: unknown[] = [];
  const Odd = command("jobs.odd", { input: schemaOf((value) => ({ value, issues: undefined })) });
  await using it = await tested([service("jobs").handle(Odd, (value) => void handled.push(value))]);
  await it.bus.send(Odd, { id: "1" });
  await until("handled", () => handled.length === 1);
});

test("an asynchronous schema is awaited on both sides", async () => {
  const seen: string[] = [];
  await using it = await tested([
    service("jobs", { publishes: [Slow] }).on(Slow, ({ id }) => void seen.push(id)),
  ]);
  await assert.rejects(it.bus.publish(Slow, { id: "bad" }), { code: "MESSAGE_INVALID" });
  await it.bus.publish(Slow, { id: "good" });
  await until("handled", () => seen.length === 1);
});

// Types and versions.

test("a type that nobody here handles is set aside, counted and logged", async () => {
  const transport = memory();
  await using it = await tested([service("jobs").handle(Run, () => undefined)], { transport });
  await using wire = await foreigner(transport);
  await wire.send([
    { to: { kind: "queue", name: "jobs.run" }, envelope: envelopeOf("jobs.stop", "{}") },
  ]);
  const { failure } = await deadLetterOf(it.bus);
  assert.equal(failure?.reason, "TYPE_UNKNOWN");
  assert.deepEqual((await it.bus.health()).unknownTypes, { "jobs.run": 1 });
  assert.ok(it.logger.has("error", /takes the type "jobs.stop"; it takes jobs.run/));
});

test("a foreign message without a type is taken by a source of one contract", async () => {
  const transport = memory();
  const handled: string[] = [];
  await using _ = await tested([service("jobs").handle(Run, ({ id }) => void handled.push(id))], {
    transport,
  });
  await using wire = await foreigner(transport);
  await wire.send([
    { to: { kind: "queue", name: "jobs.run" }, envelope: envelopeOf("", '{"id":"foreign"}') },
  ]);
  await until("handled", () => handled.length === 1);
});

const Third = command("jobs.run", {
  input: z.object({ first: z.string(), last: z.string() }),
  version: 3,
  upcasters: {
    1: (older: any) => ({ name: older.n }),
    2: (older: any) => ({ first: older.name.split(" ")[0], last: older.name.split(" ")[1] }),
  },
});

test("a body of version 1 climbs the chain of upcasters before it is validated", async () => {
  const transport = memory();
  const handled: unknown[] = [];
  await using _ = await tested(
    [service("jobs").handle(Third, (value) => void handled.push(value))],
    { transport },
  );
  await using wire = await foreigner(transport);
  const to = { kind: "queue", name: "jobs.run" } as const;
  await wire.send([
    {
      to,
      envelope: envelopeOf("jobs.run", '{"n":"Ada Lovelace"}', {
        dataschema: schemaUri({ name: "jobs.run", version: 1 }),
      }),
    },
    {
      to,
      envelope: envelopeOf("jobs.run", '{"name":"Alan Turing"}', {
        dataschema: schemaUri({ name: "jobs.run", version: 2 }),
      }),
    },
    { to, envelope: envelopeOf("jobs.run", '{"n":"Grace Hopper"}') },
  ]);
  await until("all handled", () => handled.length === 3);
  assert.deepEqual(handled, [
    { first: "Ada", last: "Lovelace" },
    { first: "Alan", last: "Turing" },
    { first: "Grace", last: "Hopper" },
  ]);
});

test("an upcaster that throws names itself", async () => {
  const { letter } = await inject("{}", { dataschema: "urn:waybill:jobs.run:2" }, Third as never);
  assert.equal(letter.failure?.reason, "DECODE_FAILED");
  assert.match(letter.failure.message, /upcaster of "jobs.run" from version 2/);
});

for (const dataschema of [
  "urn:waybill:jobs.run:4",
  "urn:waybill:jobs.run:x",
  "urn:waybill:jobs.run:0",
]) {
  test(`schema ${dataschema} is of no version that is known`, async () => {
    const { letter } = await inject("{}", { dataschema }, Third as never);
    assert.equal(letter.failure?.reason, "VERSION_UNKNOWN");
    assert.match(
      letter.failure.message,
      /knows versions up to 3. Deploy the newer service, then replay/,
    );
  });
}

test("what came too late is not handled and stands among the dead letters", async () => {
  const { letter, handled } = await inject('{"id":"1"}', {
    expirytime: new Date(1_000).toISOString(),
  });
  assert.equal(letter.failure?.reason, "EXPIRED");
  assert.deepEqual(handled, []);
});

// Steps and codecs.

const noting = (name: string, notes: string[]): IncomingStep => ({
  name,
  wrap: (next) => (message) => {
    notes.push(`${name}:${message.value === undefined ? "no value" : "value"}`);
    return next(message);
  },
});

test("a user's steps stand where they are put, on the way in and out, beside each other too", async () => {
  const notes: string[] = [];
  const steps: UserStep[] = [
    { direction: "incoming", before: "decode", step: noting("early", notes) },
    { direction: "incoming", after: "validate", step: noting("late", notes) },
    { direction: "incoming", after: "late", step: noting("later", notes) },
    { direction: "incoming", before: "settle", step: noting("first", notes) },
    {
      direction: "outgoing",
      after: "describe",
      step: {
        name: "mark",
        wrap: (next) => (message) => ((message.header.subject = "marked"), next(message)),
      },
    },
  ];
  const Get = query("jobs.get", { input: Job, output: Job });
  const subjects: unknown[] = [];
  const jobs = service("jobs", { asks: [Get] })
    .handle(Run, (_value, { header }) => void subjects.push(header.subject))
    .answer(Get, (value) => value);
  await using it = await tested([jobs], { steps });
  await it.bus.send(Run, job("1"));
  await until("handled", () => subjects.length === 1);
  assert.deepEqual(notes, ["first:no value", "early:no value", "late:value", "later:value"]);
  assert.deepEqual(subjects, ["marked"]);
  notes.length = 0;
  await it.bus.ask(Get, job("2"));
  assert.deepEqual(
    notes,
    ["early:no value", "late:value", "later:value"],
    "a call has no settle step, so nothing stands before it",
  );
});

for (const [name, steps] of [
  [
    "an anchor that does not exist",
    [{ direction: "incoming", after: "validat", step: noting("mine", []) }],
  ],
  [
    "two anchors",
    [{ direction: "incoming", after: "validate", before: "decode", step: noting("mine", []) }],
  ],
  ["no anchor", [{ direction: "incoming", step: noting("mine", []) }]],
  [
    "an anchor of the other direction",
    [{ direction: "outgoing", after: "settle", step: noting("mine", []) as never }],
  ],
  [
    "the name of another step",
    [{ direction: "incoming", after: "validate", step: noting("decode", []) }],
  ],
] satisfies [string, UserStep[]][]) {
  test(`a step with ${name} is refused`, async () => {
    await assert.rejects(
      connect({
        transport: memory(),
        services: [service("jobs")],
        steps,
        logger: recordingLogger(),
      }),
      { code: "OPTION_INVALID" },
    );
  });
}

test("a step behind the last one is never reached", async () => {
  const steps: UserStep[] = [
    { direction: "incoming", after: "dispatch", step: noting("mine", []) },
  ];
  await using it = await tested([service("jobs").handle(Run, () => undefined)], { steps });
  await it.bus.send(Run, job("1"));
  await until("handled", async () => (await it.counted("jobs.run"))["handled"] === 1);
});

test("another codec writes and reads the bodies and names its content type", async () => {
  const types: unknown[] = [];
  const codec = {
    contentType: "application/x-reversed",
    encode: (value: unknown) =>
      new TextEncoder().encode([...(jsonCodec.encode(value) as string)].toReversed().join("")),
    decode: (body: Body) =>
      jsonCodec.decode([...new TextDecoder().decode(body as Uint8Array)].toReversed().join("")),
  };
  const handled: unknown[] = [];
  await using it = await tested(
    [
      service("jobs").handle(
        Run,
        (value, { header }) => (types.push(header.datacontenttype), void handled.push(value)),
      ),
    ],
    { codec },
  );
  await it.bus.send(Run, job("1"));
  await until("handled", () => handled.length === 1);
  assert.deepEqual([types, handled], [["application/x-reversed"], [job("1")]]);
});

// Order and bounds.

test("messages of one key run in order while many run at the same time, keys beside each other", async () => {
  const order: Record<string, string[]> = { a: [], b: [] };
  let running = 0;
  let most = 0;
  const jobs = service("jobs").handle(
    Run,
    async ({ id, key }) => {
      most = Math.max(most, ++running);
      await turns(Number(id) % 3);
      order[key]?.push(id);
      running -= 1;
    },
    { orderedBy: ({ key }) => key },
  );
  await using it = await tested([jobs]);
  const ids = Array.from({ length: 40 }, (_, index) => String(index));
  for (const id of ids) for (const key of ["a", "b"]) await it.bus.send(Run, job(id, key));
  await until("all", () => order["a"]?.length === 40 && order["b"]?.length === 40);
  assert.deepEqual(order, { a: ids, b: ids });
  assert.equal(most, 2);
});

test("a failing message holds back its key and nothing else, and is not overtaken", async () => {
  const seen: string[] = [];
  let failures = 0;
  const jobs = service("jobs").handle(
    Run,
    ({ id, key }) => {
      if (id === "1" && key === "a" && ++failures < 4) throw new Error("glitch");
      seen.push(`${key}${id}`);
    },
    { orderedBy: ({ key }) => key, retry: { immediate: 0, delayMs: 20, factor: 1, jitter: 0 } },
  );
  await using it = await tested([jobs]);
  for (const [id, key] of [
    ["1", "a"],
    ["2", "a"],
    ["1", "b"],
    ["3", "a"],
    ["2", "b"],
  ] as const)
    await it.bus.send(Run, job(id, key));
  await until("all", () => seen.length === 5);
  assert.deepEqual(seen, ["b1", "b2", "a1", "a2", "a3"]);
  assert.equal((await it.counted("jobs.run"))["retried"], 3);
});

test("a message that fails for good lets its key go on", async () => {
  const seen: string[] = [];
  const jobs = service("jobs").handle(
    Run,
    ({ id }) => {
      if (id === "1") throw new TypeError("bug");
      seen.push(id);
    },
    { orderedBy: ({ key }) => key },
  );
  await using it = await tested([jobs]);
  for (const id of ["1", "2", "3"]) await it.bus.send(Run, job(id));
  await until("the others", () => seen.length === 2);
  assert.deepEqual(seen, ["2", "3"]);
});

test("the key is read from the present version, whatever version was sent", async () => {
  const transport = memory();
  const seen: string[] = [];
  const Moved = command("jobs.run", {
    input: z.object({ id: z.string(), key: z.string() }),
    version: 2,
    upcasters: { 1: (older: any) => ({ id: older.id, key: older.group }) },
  });
  const first = gate();
  const jobs = service("jobs").handle(
    Moved,
    async ({ id }) => {
      if (id === "1") await first.passed;
      seen.push(id);
    },
    { orderedBy: ({ key }) => key },
  );
  await using _ = await tested([jobs], { transport });
  await using wire = await foreigner(transport);
  const to = { kind: "queue", name: "jobs.run" } as const;
  const old = (id: string, group: string) => ({
    to,
    envelope: envelopeOf("jobs.run", JSON.stringify({ id, group }), {
      dataschema: "urn:waybill:jobs.run:1",
    }),
  });
  await wire.send([old("1", "a"), old("2", "a"), old("3", "b")]);
  await until("the other key", () => seen.includes("3"));
  await turns();
  assert.deepEqual(seen, ["3"], "2 waits for 1");
  first.open();
  await until("all", () => seen.length === 3);
  assert.deepEqual(seen, ["3", "1", "2"]);
});

test("a key that is not the same twice, or throws, blocks nothing", async () => {
  const seen: string[] = [];
  let draws = 0;
  const jobs = service("jobs").handle(Run, ({ id }) => void seen.push(id), {
    orderedBy: () => {
      if (++draws % 3 === 0) throw new Error("no key");
      return String(draws);
    },
  });
  await using it = await tested([jobs]);
  for (let id = 0; id < 30; id++) await it.bus.send(Run, job(String(id)));
  await until("all", () => seen.length === 30);
});

test("items of one partition come one after another, a failing one first retried in place and then set aside", async () => {
  const seen: string[] = [];
  let running = 0;
  const log = service("log", { appends: [Log] }).consume(
    Log,
    async ({ id }, { position }) => {
      assert.equal(++running, 1);
      await turns(1);
      running -= 1;
      seen.push(`${id}@${position?.offset}`);
      if (id === "1") throw new Error("always");
    },
    { retry: { immediate: 0, attempts: 3, delayMs: 5, jitter: 0 } },
  );
  await using it = await tested([log]);
  for (const id of ["0", "1", "2"]) await it.bus.append(Log, job(id));
  await until("all", () => seen.length === 5);
  assert.deepEqual(seen, ["0@0", "1@1", "1@1", "1@1", "2@2"]);
  const letter = await deadLetterOf(it.bus);
  assert.equal(letter.address, "jobs.log@log");
  assert.equal(letter.failure?.attempts, 3);
});

test("no more handlers run than the concurrency says, and no more messages are fetched than the prefetch", async () => {
  let running = 0;
  let most = 0;
  const hold = gate();
  const jobs = service("jobs").handle(
    Run,
    async () => {
      most = Math.max(most, ++running);
      await hold.passed;
      running -= 1;
    },
    { concurrency: 3, prefetch: 5 },
  );
  await using it = await tested([jobs]);
  for (let id = 0; id < 20; id++) await it.bus.send(Run, job(String(id)));
  const state = async () =>
    (await it.bus.health()).addresses.find(({ address }) => address === "jobs.run");
  await until("three run", () => running === 3);
  await until("five are fetched", async () => (await state())?.inFlight === 5);
  await turns();
  assert.equal(most, 3);
  assert.equal((await state())?.inFlight, 5);
  assert.deepEqual((await it.bus.health()).running, { "jobs.run": 3 });
  hold.open();
  await until("all", async () => (await it.counted("jobs.run"))["handled"] === 20);
  assert.equal(most, 3);
});

test("commands that share a queue are run in their order under one key", async () => {
  const seen: string[] = [];
  const First = command("jobs.first", { input: Job, queue: "jobs" });
  const Second = command("jobs.second", { input: Job, queue: "jobs" });
  const options = { orderedBy: ({ key }: { key: string }) => key };
  const jobs = service("jobs")
    .handle(First, async ({ id }) => (await turns(3), void seen.push(`first ${id}`)), options)
    .handle(Second, ({ id }) => void seen.push(`second ${id}`), options);
  await using it = await tested([jobs]);
  for (const id of ["1", "2"]) {
    await it.bus.send(First, job(id));
    await it.bus.send(Second, job(id));
  }
  await until("all", () => seen.length === 4);
  assert.deepEqual(seen, ["first 1", "second 1", "first 2", "second 2"]);
});

test("a settlement that the transport rejects costs neither the slot nor the lane nor the process", async () => {
  let refusals = 2;
  const transport = watched(memory(), (inner) => ({
    receive: (source, options, listener) =>
      inner.receive(source, options, {
        ...listener,
        deliver: (batch) => {
          for (const delivery of batch) {
            const settle = delivery.settle.bind(delivery);
            delivery.settle = (settlement) =>
              settlement.kind !== "release" && refusals-- > 0
                ? Promise.reject(new WaybillError("TRANSPORT_FAILED", "gone", { retryable: true }))
                : settle(settlement);
          }
          listener.deliver(batch);
        },
      }),
  }));
  const seen: string[] = [];
  const jobs = service("jobs").handle(Run, ({ id }) => void seen.push(id), {
    concurrency: 1,
    orderedBy: ({ key }) => key,
  });
  await using it = await tested([jobs], { transport });
  await it.bus.send(Run, job("1"));
  await it.bus.send(Run, job("2"));
  await until("both are done", async () => (await it.counted("jobs.run"))["handled"] === 2);
  assert.ok(it.logger.lines.length > 0);
});
