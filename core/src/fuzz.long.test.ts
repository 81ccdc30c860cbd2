import assert from "node:assert/strict";
import { test } from "node:test";
import { command, feed, type Rule, validate } from "@waybill/contracts";
import * as z from "zod";
import { readError } from "./calls/frames.ts";
import { isReplyAddress } from "./calls/inbox.ts";
import { jsonCodec } from "./codec.ts";
import type { Body, Envelope, Header } from "./envelope.ts";
import { WaybillError } from "./errors.ts";
import { Mutator } from "./fuzz.fixture.ts";
import { memory } from "./memory/index.ts";
import type { StoredMessage } from "./ports/transport.ts";
import { compileRule } from "./rules.ts";
import { service } from "./service.ts";
import { readBody } from "./steps/decode.ts";
import { envelopeOf, foreigner, framesAt, tested, until } from "./testing.fixture.ts";

/** The full size is 1,000,000. */
const inputs = Number(process.env["WAYBILL_INPUTS"] ?? 20_000);
const seed = Number(process.env["WAYBILL_SEED"] ?? 20_261_120);
/** Generous: a busy machine may stop the process for as long, a pattern that runs away takes more. */
const inputMsMax = 2_000;
const heapBytesMax = 128 * 1024 * 1024;

const Order = z.object({
  id: z.string().max(100),
  lines: z.array(z.object({ sku: z.string(), quantity: z.int().positive() })).max(50),
  region: z.enum(["EU", "US"]).optional(),
});
const Place = command("fuzz.place", {
  input: Order,
  version: 3,
  upcasters: {
    1: (old: unknown) => ({ ...(old as object), region: "EU" }),
    2: (old: unknown) => old,
  },
});
const bodies: readonly unknown[] = [
  { id: "o-1", lines: [{ sku: "tea", quantity: 2 }], region: "EU" },
  { id: "o-2", lines: [] },
  {
    code: "HANDLER_FAILED",
    message: "no",
    retryable: true,
    details: { issues: [{ path: "a.b" }] },
  },
  [1, "two", { three: null }],
  "text",
];
const rules: readonly unknown[] = [
  { region: "EU", total: { gt: 100 } },
  { or: [{ region: { in: ["EU", "US"] } }, { not: { sku: { prefix: "te" } } }] },
  {
    and: [{ total: { gte: 1, lt: 9 } }, { gone: { exists: false } }, { a: { not: { eq: true } } }],
  },
];
const header: Header = envelopeOf("fuzz.place", "", {
  dataschema: "urn:waybill:fuzz.place:2",
  correlationid: "5f0c",
  replyto: "replies.one",
  deadline: "2030-01-01T00:00:10.000Z",
  expirytime: "2030-01-01T00:00:10.000Z",
  calldepth: 2,
  partitionkey: "k",
  attributes: { region: "EU", total: 120 },
}).header;

/** Runs one reader on one input; only its own errors may come out. */
function only(errors: readonly string[], read: () => void): void {
  try {
    read();
  } catch (error) {
    const name =
      error instanceof WaybillError ? error.code : error instanceof RangeError ? "RangeError" : "";
    if (!errors.includes(name)) throw error;
  }
}

const readers: readonly ((mutator: Mutator) => void)[] = [
  (mutator) => {
    const envelope = mutated(mutator);
    only(["DECODE_FAILED", "VERSION_UNKNOWN"], () => {
      const result = validate(Order, readBody(envelope, Place, jsonCodec));
      assert.ok("value" in result || "issues" in result);
    });
  },
  (mutator) => {
    const rule = mutator.value(mutator.pick(rules)) as Rule;
    const attributes = mutator.value({ region: "EU", total: 3, sku: "tea" }) as Record<
      string,
      string
    >;
    only(["RangeError"], () =>
      assert.equal(
        typeof compileRule(rule).matches(Object(attributes) as typeof attributes),
        "boolean",
      ),
    );
  },
  (mutator) => {
    const error = readError({ codec: jsonCodec }, mutated(mutator), "ANSWER_FAILED");
    assert.ok(error instanceof WaybillError);
  },
  (mutator) => {
    const address = mutator.value("replies.0f-5");
    const good = typeof address === "string" && /^replies\.[A-Za-z0-9-]{1,80}$/.test(address);
    assert.equal(isReplyAddress(address), good && !address.includes("\n"));
  },
];

function mutated(mutator: Mutator): Envelope {
  const text = JSON.stringify(mutator.value(mutator.pick(bodies))) ?? "";
  const body: Body = mutator.chance(0.5) ? mutator.text(text) : mutator.bytes(text);
  const read = mutator.value(header);
  return {
    header: (typeof read === "object" && read !== null ? read : header) as Header,
    body: mutator.chance(0.3) ? text : body,
  };
}

test(`${inputs} mutated inputs: nothing but named errors, no hang, no growth (WAYBILL_SEED=${seed})`, () => {
  const mutator = new Mutator(seed);
  const heapBefore = process.memoryUsage().heapUsed;
  let slowest = 0;
  for (let input = 0; input < inputs; input++) {
    const began = performance.now();
    mutator.pick(readers)(mutator);
    slowest = Math.max(slowest, performance.now() - began);
    assert.ok(slowest < inputMsMax, `input ${input} took ${slowest} ms`);
  }
  assert.ok(process.memoryUsage().heapUsed - heapBefore < heapBytesMax, "memory grew");
  assert.equal(Object.hasOwn(Object.prototype, "polluted"), false);
});

test(`${inputs / 20} mutated messages through a whole bus: each is handled or a dead letter with a known reason`, async () => {
  const mutator = new Mutator(seed + 1);
  const rejections: unknown[] = [];
  const note = (reason: unknown): void => void rejections.push(reason);
  process.on("unhandledRejection", note);
  const transport = memory();
  let handled = 0;
  await using it = await tested([service("fuzz").handle(Place, () => void (handled += 1))], {
    transport,
  });
  await using wire = await foreigner(transport);
  const count = Math.floor(inputs / 20);
  const reasons = new Set<string>();
  for (let input = 0; input < count; input++) {
    const to = { kind: "queue", name: Place.queue } as const;
    await wire.send([{ to, envelope: mutated(mutator) }]);
    if ((input + 1) % 500 !== 0 && input + 1 < count) continue;
    let dead: readonly StoredMessage[] = [];
    const target = 1 + (input % 500);
    await until(`${target} are settled`, async () => {
      dead = await it.bus.deadLetters.list({ limit: 1_000 });
      return handled + dead.length >= target;
    });
    for (const { failure } of dead) reasons.add(failure?.reason ?? "none");
    await it.bus.deadLetters.discard(dead.map(({ handle }) => handle));
    handled = 0;
  }
  process.off("unhandledRejection", note);
  for (const known of [
    "DECODE_FAILED",
    "VERSION_UNKNOWN",
    "MESSAGE_INVALID",
    "TYPE_UNKNOWN",
    "EXPIRED",
  ])
    reasons.delete(known);
  assert.deepEqual([...reasons], []);
  assert.deepEqual(rejections, []);
});

const Tail = feed("fuzz.tail", {
  input: z.object({ id: z.string().max(100) }),
  item: z.int(),
  resume: { cursor: z.int(), of: (item) => item },
});

test(`${inputs / 100} mutated requests for a feed: handlers run with a cursor of their contract or with none`, async () => {
  const mutator = new Mutator(seed + 2);
  const transport = memory();
  const begun: unknown[] = [];
  const tail = service("fuzz").serve(Tail, async function* (_input, { resumeFrom }) {
    begun.push(resumeFrom);
    yield 1;
  });
  await using it = await tested([tail], { transport });
  await using wire = await foreigner(transport);
  const frames = await framesAt(wire, "replies.one");
  const to = { kind: "queue", name: Tail.name } as const;
  const count = Math.floor(inputs / 100);
  for (let input = 0; input < count; input++) {
    const { header: mutant } = mutated(mutator);
    const resumefrom = mutator.value(mutator.pick(["1", '"a"', "1.5", "{}"])) as string;
    const valid = { type: Tail.name, replyto: "replies.one", correlationid: `c-${input}` };
    const fields = { ...mutant, resumefrom, dataschema: "urn:waybill:fuzz.tail:1", ...valid };
    const { deadline: _deadline, expirytime: _expiry, ...request } = fields;
    await wire.send([{ to, envelope: { header: request, body: '{"id":"1"}' } }]);
  }
  const answered = new Set<string | undefined>();
  await until("each is answered", () => {
    for (const { header: frame } of frames)
      if (frame.type === "waybill.error" || frame.type === "waybill.end")
        answered.add(frame.correlationid);
    return answered.size === count;
  });
  assert.ok(begun.length > 0 && begun.length < count, `${begun.length} handlers ran`);
  for (const cursor of begun) assert.ok(cursor === undefined || Number.isSafeInteger(cursor));
  assert.deepEqual((await it.bus.health()).contracts[Tail.name]?.resumed, 0);
});

test(`${inputs / 100} feeds of mutated frames: items ascend, or an error of the closed list ends the loop`, async () => {
  const mutator = new Mutator(seed + 3);
  const transport = memory();
  await using it = await tested([service("reader", { opens: [Tail] })], { transport });
  await using wire = await foreigner(transport);
  const requests = await framesAt(wire, Tail.name);
  await framesAt(wire, "replies.server");
  for (let input = 0; input < Math.floor(inputs / 100); input++) {
    const items: number[] = [];
    const opened = it.bus.open(Tail, { id: "1" }, { resume: { attempts: 1, delayMs: 0 } });
    const reading = (async () => {
      for await (const item of opened) items.push(item);
    })().then(
      () => undefined,
      (error: unknown) => error,
    );
    const waiting = new Set([reading]);
    void reading.then(() => waiting.clear());
    let served = requests.length;
    for (let round = 0; waiting.size > 0; round++) {
      await until("it is asked for or over", () => waiting.size === 0 || requests.length > served);
      if (waiting.size === 0) break;
      const { header: request } = requests[served++] as Envelope;
      const call = { correlationid: request.correlationid ?? "", replyto: "replies.server" };
      for (let frame = 0; frame < 6; frame++) {
        const type = mutator.pick([
          "waybill.item",
          "waybill.item",
          "waybill.accepted",
          "waybill.credit",
        ]);
        const sequence = mutator.chance(0.8) ? String(frame) : mutator.text(String(frame));
        const body = mutator.chance(0.9) ? String(round + frame) : mutator.text(String(frame));
        const envelope = envelopeOf(type, body, { ...call, sequence });
        await wire.send([{ to: { kind: "queue", name: request.replyto ?? "" }, envelope }]);
      }
      for (let sequence = 0; sequence <= 6; sequence++) {
        const type = mutator.pick(["waybill.end", "waybill.closing", "waybill.error"]);
        const envelope = envelopeOf(type, mutator.text('{"message":"no"}'), {
          ...call,
          sequence: String(sequence),
        });
        await wire.send([{ to: { kind: "queue", name: request.replyto ?? "" }, envelope }]);
      }
    }
    const error = await reading;
    assert.ok(error === undefined || error instanceof WaybillError, String(error));
    assert.deepEqual(
      items,
      [...new Set(items)].toSorted((left, right) => left - right),
    );
  }
});
