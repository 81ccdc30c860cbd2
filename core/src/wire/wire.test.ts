import assert from "node:assert/strict";
import { test } from "node:test";
import { command, event, feed, query, stream } from "@waybill/contracts";
import * as z from "zod";
import type { Bus } from "../bus.ts";
import { jsonCodec } from "../codec.ts";
import { connect } from "../connect.ts";
import type { Body, Envelope } from "../envelope.ts";
import { WaybillError } from "../errors.ts";
import { memory } from "../memory/index.ts";
import type { Outgoing, Transport, TransportFactory } from "../ports/transport.ts";
import type { WireTransform } from "../ports/wire.ts";
import { service } from "../service.ts";
import { foreigner, tested, turns, until, watched } from "../testing.fixture.ts";

const Text = z.object({ text: z.string() });
const Say = command("wire.say", { input: Text });
const Forward = command("wire.forward", { input: Text });
const Said = event("wire.said", { payload: Text });
const Log = stream("wire.log", { item: Text, key: () => "k" });
const Echo = query("wire.echo", { input: Text, output: Text.optional() });
const Follow = feed("wire.follow", { input: Text, item: Text, upstream: Text });

const textOf = (body: Body): string =>
  typeof body === "string" ? body : new TextDecoder().decode(body);

/** Writes its word before each body and takes it away again. */
function mark(word: string, parts: Partial<WireTransform> = {}): WireTransform {
  return {
    name: word,
    encodings: [word],
    required: false,
    seal: (body) => ({ body: `${word}(${textOf(body)})`, encoding: word }),
    open: (body) => {
      const text = textOf(body);
      if (!text.startsWith(`${word}(`)) throw new Error("not mine");
      return text.slice(word.length + 1, -1);
    },
    ...parts,
  };
}

/** Remembers every envelope that reaches the broker. */
function overheard(): { transport: TransportFactory; heard: Envelope[] } {
  const heard: Envelope[] = [];
  const keep = (batch: readonly Outgoing[]): void =>
    void heard.push(...batch.map(({ envelope }) => envelope));
  const transport = watched(memory(), (inner: Transport) => ({
    send: (batch) => {
      keep(batch);
      return inner.send(batch);
    },
    receive: (source, options, listener) =>
      inner.receive(source, options, {
        fault: (error) => listener.fault(error),
        deliver: (batch) => {
          for (const delivery of batch) {
            const settle = delivery.settle.bind(delivery);
            delivery.settle = (settlement) => {
              if (settlement.kind === "complete") keep(settlement.send ?? []);
              return settle(settlement);
            };
          }
          listener.deliver(batch);
        },
      }),
  }));
  return { transport, heard };
}

test("everything that reaches the broker is sealed in order: commands, events, items, calls, answers, errors and the frames of feeds", async () => {
  const { transport, heard } = overheard();
  const got: string[] = [];
  const worker = service("worker", { publishes: [Said], appends: [Log] })
    .handle(Say, async ({ text }, context) => {
      await context.publish(Said, { text });
      await context.append(Log, { text });
    })
    .on(Said, ({ text }) => void got.push(`event ${text}`))
    .consume(Log, ({ text }) => void got.push(`item ${text}`))
    .answer(Echo, ({ text }) => {
      if (text === "fail") throw new Error("as asked");
      return text === "nothing" ? undefined : { text };
    })
    .serve(Follow, async function* ({ text }, context) {
      yield { text };
      for await (const item of context.upstream) yield item;
    });
  await using it = await tested([worker], {
    transport,
    localCalls: false,
    wire: [mark("one"), mark("two", { required: true })],
  });
  await it.bus.send(Say, { text: "a" });
  await until("event and item", () => got.length === 2);
  assert.deepEqual(got.toSorted(), ["event a", "item a"]);
  assert.deepEqual(await it.bus.ask(Echo, { text: "b" }), { text: "b" });
  assert.equal(await it.bus.ask(Echo, { text: "nothing" }), undefined);
  await assert.rejects(it.bus.ask(Echo, { text: "fail" }), {
    code: "ANSWER_FAILED",
    message: /as asked/,
  });
  const upstream = (async function* () {
    yield { text: "d" };
    yield { text: "e" };
  })();
  const items: string[] = [];
  for await (const { text } of it.bus.open(Follow, { text: "c" }, { upstream })) items.push(text);
  assert.deepEqual(items, ["c", "d", "e"]);

  const types = new Set(heard.map(({ header }) => header.type));
  for (const type of ["answer", "error", "item", "upstream-item", "accepted", "end"])
    assert.ok(types.has(`waybill.${type}`), type);
  for (const { header, body } of heard) {
    assert.equal(header.contentencoding, "one, two", header.type);
    assert.match(textOf(body), /^two\(one\(.*\)\)$/, header.type);
  }
});

test("a handler sees the header without what the wire wrote into it", async () => {
  let seen: object = {};
  await using it = await tested(
    [service("worker").handle(Say, (_, { header }) => void (seen = header))],
    { wire: [mark("one")] },
  );
  await it.bus.send(Say, { text: "a" });
  await until("handled", () => "id" in seen);
  assert.ok(!("contentencoding" in seen) && !("signature" in seen));
});

async function refused(
  wire: readonly WireTransform[] | undefined,
  envelope: Partial<Envelope["header"]> & { body: string },
): Promise<string> {
  const transport = memory();
  await using it = await tested([service("worker").handle(Say, () => assert.fail("it ran"))], {
    transport,
    ...(wire !== undefined && { wire }),
  });
  await using stranger = await foreigner(transport);
  const { body, ...header } = envelope;
  await stranger.send([
    {
      to: { kind: "queue", name: Say.name },
      envelope: {
        header: {
          specversion: "1.0",
          id: "1",
          source: "/stranger",
          type: Say.name,
          time: new Date(0).toISOString(),
          datacontenttype: "application/json",
          conversationid: "1",
          ...header,
        },
        body,
      },
    },
  ]);
  await until("set aside", async () => (await it.bus.deadLetters.list()).length === 1);
  const [dead] = await it.bus.deadLetters.list();
  return `${dead?.failure?.reason}: ${dead?.failure?.message}`;
}

test("what cannot be opened is a dead letter that says what is missing", async () => {
  const body = '{"text":"a"}';
  const wire = [mark("one"), mark("two", { required: true })];
  const cases: readonly (readonly [
    readonly WireTransform[] | undefined,
    string | undefined,
    RegExp,
  ])[] = [
    [undefined, "one", /^DECODE_FAILED: .*sealed by "one", and this bus has no wire/],
    [wire, "three, two", /^DECODE_FAILED: .*sealed by "three", and this bus opens one, two/],
    [wire, "two", /^DECODE_FAILED: .*could not be opened by two: not mine/],
    [wire, "one", /^UNAUTHORISED: .*came without two, which this bus requires/],
    [wire, undefined, /^UNAUTHORISED: .*came without two, which this bus requires/],
    [wire, "two, one", /^UNAUTHORISED: .*not the order of this bus's wire/],
    [wire, "two, two", /^UNAUTHORISED: .*not the order of this bus's wire/],
    [wire, "", /^DECODE_FAILED: The contentencoding .* is no list/],
    [wire, "one,".repeat(1_000), /^DECODE_FAILED: The contentencoding .* is no list/],
    [wire, 7 as never, /^DECODE_FAILED: The contentencoding .* is no list/],
  ];
  for (const [own, contentencoding, expected] of cases)
    assert.match(
      await refused(own, { body, ...(contentencoding !== undefined && { contentencoding }) }),
      expected,
    );
});

test("a receiver with a wire reads senders without one where nothing is required", async () => {
  const transport = memory();
  const got: string[] = [];
  await using _ = await tested([service("worker").handle(Say, ({ text }) => void got.push(text))], {
    transport,
    wire: [mark("one")],
  });
  await using plain = await tested([service("script", { sends: [Say] })], { transport });
  await plain.bus.send(Say, { text: "plain" });
  await until("handled", () => got.length === 1);
});

test("a retryable failure to open is tried again and then set aside; another one at once", async () => {
  for (const [retryable, opensMin] of [
    [true, 3],
    [false, 1],
  ] as const) {
    let opens = 0;
    const failing = mark("one", {
      open: () => {
        opens += 1;
        throw new WaybillError("NOT_FOUND", "not there", { retryable });
      },
    });
    await using it = await tested([service("worker").handle(Say, () => assert.fail("it ran"))], {
      wire: [failing],
      handlers: { retry: { attempts: 2, delayMs: 1, immediate: 0 } },
    });
    await it.bus.send(Say, { text: "a" });
    await until("set aside", async () => (await it.bus.deadLetters.list()).length === 1);
    const [dead] = await it.bus.deadLetters.list();
    assert.equal(dead?.failure?.reason, "NOT_FOUND");
    assert.equal(dead?.failure?.attempts, retryable ? 2 : 1);
    assert.ok(retryable ? opens >= opensMin : opens === opensMin, `${opens}`);
  }
});

test("what becomes openable is handled, by an ordered handler in place, too", async () => {
  for (const orderedBy of [undefined, () => "one key"]) {
    let opens = 0;
    const got: string[] = [];
    const late = mark("one", {
      open: (body) => {
        opens += 1;
        if (opens < 4) throw new WaybillError("NOT_FOUND", "not there yet", { retryable: true });
        return textOf(body).slice(4, -1);
      },
    });
    const worker = service("worker").handle(Say, ({ text }) => void got.push(text), {
      retry: { delayMs: 1 },
      ...(orderedBy !== undefined && { orderedBy }),
    });
    await using it = await tested([worker], { wire: [late] });
    await it.bus.send(Say, { text: "a" });
    await until("handled", () => got.length === 1);
  }
});

test("what a handler sends and cannot be sealed is the handler's failure, and nothing of it leaves", async () => {
  const picky = mark("one", {
    seal: (body) => {
      if (textOf(body).includes("bad")) throw new WaybillError("BODY_TOO_LARGE", "too much");
      return { body: `one(${textOf(body)})`, encoding: "one" };
    },
  });
  const got: string[] = [];
  const worker = service("worker", { sends: [Say] })
    .handle(Forward, async (_, context) => {
      await context.send(Say, { text: "good" });
      await context.send(Say, { text: "bad" });
    })
    .handle(Say, ({ text }) => void got.push(text))
    .answer(Echo, () => ({ text: "bad" }))
    .serve(Follow, async function* () {
      yield { text: "good" };
      yield { text: "bad" };
    });
  await using it = await tested([worker], { wire: [picky], localCalls: false });
  await it.bus.send(Forward, { text: "x" });
  await until("set aside", async () => (await it.bus.deadLetters.list()).length === 1);
  const [dead] = await it.bus.deadLetters.list();
  assert.equal(dead?.failure?.reason, "BODY_TOO_LARGE");
  assert.deepEqual(got, []);
  await assert.rejects(it.bus.send(Say, { text: "bad" }), { code: "BODY_TOO_LARGE" });
  // The caller of a query and of a feed is told instead of being left to wait.
  await assert.rejects(it.bus.ask(Echo, { text: "x" }), { message: /too much/ });
  const items: string[] = [];
  await assert.rejects(async () => {
    for await (const { text } of it.bus.open(Follow, { text: "x" })) items.push(text);
  }, /too much/);
  assert.deepEqual(items, ["good"]);
});

/** Asks, and is still waiting when that has happened which should not end the call. */
async function askInVain(bus: Bus, happened: () => Promise<boolean>): Promise<void> {
  const patience = new AbortController();
  const { signal } = patience;
  const asking = bus.ask(Echo, { text: "a" }, { timeoutMs: 600_000, signal });
  const ended = assert.rejects(asking, { code: "CALL_CANCELLED" });
  await until("it has happened", happened);
  patience.abort();
  await ended;
}

test("an answer of a stranger ends no call, and one that cannot be read ends it with an error", async () => {
  const transport = memory();
  const worker = service("worker").answer(Echo, ({ text }) => ({ text }));
  await using _ = await tested([worker], { transport, wire: [mark("one"), mark("two")] });
  await using caller = await tested([service("caller", { asks: [Echo] })], {
    transport,
    wire: [mark("one"), mark("two", { open: () => assert.fail("unreadable") })],
  });
  await assert.rejects(caller.bus.ask(Echo, { text: "a" }), {
    code: "ANSWER_FAILED",
    message: /could not be opened by two/,
  });
  await using strict = await tested([service("strict", { asks: [Echo] })], {
    transport,
    wire: [mark("one"), mark("three", { required: true, seal: () => undefined })],
  });
  await askInVain(strict.bus, async () => (await strict.bus.health()).replies.forged === 1);
});

test("a call that cannot be opened is answered with the reason, one that is not trusted is set aside", async () => {
  const transport = memory();
  const worker = service("worker").answer(Echo, () => assert.fail("it ran"));
  await using owner = await tested([worker], {
    transport,
    wire: [mark("one", { required: true })],
  });
  await using other = await tested([service("other", { asks: [Echo] })], {
    transport,
    wire: [mark("one"), mark("two")],
  });
  await assert.rejects(other.bus.ask(Echo, { text: "a" }), {
    code: "ANSWER_FAILED",
    message: /sealed by "two"/,
  });
  await using plain = await tested([service("plain", { asks: [Echo] })], { transport });
  await askInVain(plain.bus, async () => (await owner.bus.deadLetters.list()).length === 1);
  const [dead] = await owner.bus.deadLetters.list();
  assert.equal(dead?.failure?.reason, "UNAUTHORISED");
});

test("messages of one queue keep the order of sending although sealing and opening take different times", async () => {
  const got: string[] = [];
  const pause = (count: number): Promise<void> =>
    count === 0 ? Promise.resolve() : Promise.resolve().then(() => pause(count - 1));
  const uneven = mark("one", {
    seal: async (body) => {
      await pause(textOf(body).length % 7);
      return { body: `one(${textOf(body)})`, encoding: "one" };
    },
    open: async (body) => {
      await pause((textOf(body).length * 3) % 11);
      return textOf(body).slice(4, -1);
    },
  });
  const worker = service("worker").handle(Say, ({ text }) => void got.push(text), {
    concurrency: 1,
  });
  await using it = await tested([worker], { wire: [uneven] });
  const texts = Array.from(
    { length: 200 },
    (_, index) => `${index} ${"x".repeat((index * 31) % 17)}`,
  );
  await Promise.all(texts.map((text) => it.bus.send(Say, { text })));
  await until("all", () => got.length === texts.length);
  assert.deepEqual(got, texts);
});

test("opened bodies are bounded in bytes while their messages are not settled", async () => {
  const big = " ".repeat(8 * 1024 * 1024);
  let opened = 0;
  const swelling = mark("one", {
    seal: () => ({ body: "small", encoding: "one" }),
    open: () => {
      opened += 1;
      return big;
    },
  });
  const gates = Promise.withResolvers<void>();
  let handled = 0;
  const worker = service("worker").handle(
    Say,
    () => gates.promise.then(() => void (handled += 1)),
    {
      concurrency: 1,
      prefetch: 100,
    },
  );
  // Not the text is what is measured, so it need not be read.
  const codec = { ...jsonCodec, decode: () => ({ text: "a" }) };
  await using it = await tested([worker], { wire: [swelling], codec });
  for (let index = 0; index < 40; index++) await it.bus.send(Say, { text: "a" });
  await until("a batch is open", () => opened >= 2);
  await turns(100);
  assert.ok(opened <= 31, `${opened} were opened`);
  gates.resolve();
  await until("all", () => handled === 40);
});

test("a wire that cannot work is refused when the bus connects", async () => {
  const start = (wire: readonly WireTransform[]): Promise<unknown> =>
    connect({ transport: memory(), services: [service("s", { sends: [Say] })], wire });
  const expected = { code: "OPTION_INVALID" };
  await assert.rejects(start([mark("one"), mark("one")]), expected);
  await assert.rejects(start([mark("One")]), expected);
  await assert.rejects(start([mark("one", { encodings: [] })]), expected);
  await assert.rejects(start(Array.from({ length: 9 }, (_, index) => mark(`t${index}`))), expected);
});
