import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Body, type Codec, type WireTransform, service } from "@waybill/core";
import { seededRandom } from "./random.ts";
import type { SuiteSubject } from "./suite/stage.ts";
import { type Letter, Follow, Letters, Read, Write, Written } from "./wire/messages.ts";
import { WireStage } from "./wire/stage.ts";

export interface WireSuiteOptions {
  /** The same wire for each process of the application, made anew for each. */
  readonly wire: () => readonly WireTransform[];
  /** A broker of its own for each case. */
  readonly create: () => SuiteSubject | Promise<SuiteSubject>;
  readonly codec?: Codec;
  /** Bytes of the largest text that is sent. Default 300,000. */
  readonly textBytesMax?: number;
  /** Whether a changed body is always noticed: with a signature, encryption or a hash, and not by compression alone. */
  readonly detectsChanges: boolean;
  /** Default 1. */
  readonly seed?: number;
}

type Case = (stage: WireStage) => Promise<void>;

const lengths: readonly number[] = [0, 1, 100, 1_023, 1_024, 5_000, 70_000];

/** Proves a wire over a transport, through the whole of `connect()`: every kind of message, and what a stranger can do to it. */
export function wireSuite(name: string, options: WireSuiteOptions): void {
  const staged = (run: Case) => async (): Promise<void> => {
    const stage = new WireStage(await options.create(), options.codec);
    try {
      await run(stage);
    } finally {
      await stage.close();
    }
  };
  describe(`wire ${name}`, () => {
    test("messages of every size and kind arrive as they were sent", staged(messages(options)));
    test("calls are answered, failed and followed both ways", staged(calls(options)));
    test("one consumer gets a queue in the order of sending", staged(order(options)));
    test("damaged bodies reach no handler", staged(damage(options)));
    const skip = options.wire().length === 0 ? "there is nothing to open" : false;
    test("what a bus without this wire gets, it refuses", { skip }, staged(strangers(options)));
  });
}

/** Half repeats itself, half does not: some of it shrinks. */
function textOf(length: number, random: () => number): string {
  const letters = Array.from({ length: Math.floor(length / 2) }, () =>
    String.fromCharCode(33 + Math.floor(random() * 90)),
  );
  return letters.join("") + "ä".repeat(length - letters.length);
}

function messages({ wire, seed = 1, textBytesMax = 300_000 }: WireSuiteOptions): Case {
  return async (stage) => {
    const random = seededRandom(seed);
    const got: string[] = [];
    const writer = service("writer", { publishes: [Written], appends: [Letters] })
      .handle(Write, async (letter, context) => {
        await context.publish(Written, letter);
        await context.append(Letters, letter);
      })
      .on(Written, ({ text }) => void got.push(text));
    const reader = service("reader").consume(Letters, ({ text }) => void got.push(text));
    const sender = await stage.connect([service("sender", { sends: [Write] })], wire());
    await stage.connect([writer], wire());
    await stage.connect([reader], wire());
    const texts = [...lengths, textBytesMax / 2].map((length) => textOf(length, random));
    for (const text of texts) await sender.send(Write, { text });
    await stage.until("all events and items", () => got.length >= texts.length * 2);
    assert.deepEqual(got.toSorted(), [...texts, ...texts].toSorted());
  };
}

function calls({ wire, seed = 1 }: WireSuiteOptions): Case {
  return async (stage) => {
    const random = seededRandom(seed);
    const owner = service("owner")
      .answer(Read, ({ text }) => {
        if (text === "fail") throw new Error("as asked");
        return { text: text.toUpperCase() };
      })
      .serve(Follow, async function* ({ text }, context) {
        yield { text };
        for await (const item of context.upstream) yield item;
      });
    await stage.connect([owner], wire());
    const asker = service("asker", { asks: [Read], opens: [Follow] });
    const caller = await stage.connect([asker], wire());
    for (const length of lengths) {
      const text = textOf(length, random);
      assert.deepEqual(await caller.ask(Read, { text }), { text: text.toUpperCase() });
    }
    await assert.rejects(caller.ask(Read, { text: "fail" }), {
      code: "ANSWER_FAILED",
      message: /as asked/,
    });
    const texts = lengths.map((length) => textOf(length, random));
    const upstream = (async function* (): AsyncIterable<Letter> {
      for (const text of texts) yield { text };
    })();
    const items: string[] = [];
    for await (const { text } of caller.open(Follow, { text: "first" }, { upstream }))
      items.push(text);
    assert.deepEqual(items, ["first", ...texts]);
    assert.equal((await caller.health()).replies.forged, 0);
  };
}

function order({ wire, seed = 1 }: WireSuiteOptions): Case {
  return async (stage) => {
    const random = seededRandom(seed);
    const got: string[] = [];
    const reader = service("reader").handle(Write, ({ text }) => void got.push(text), {
      concurrency: 1,
    });
    const bus = await stage.connect([reader], wire());
    const texts = Array.from(
      { length: 60 },
      (_, index) => `${index} ${textOf(Math.floor(random() * 4_000), random)}`,
    );
    await Promise.all(texts.map((text) => bus.send(Write, { text })));
    await stage.until("all", () => got.length >= texts.length);
    assert.deepEqual(got, texts);
  };
}

function damage({ wire, seed = 1, detectsChanges }: WireSuiteOptions): Case {
  return async (stage) => {
    const random = seededRandom(seed);
    const got: string[] = [];
    const reader = service("reader").handle(Write, ({ text }) => void got.push(text));
    const bus = await stage.connect([reader], wire());
    const text = textOf(5_000, random);
    const damages: readonly ((body: Body) => Body)[] = [
      (body) => body.slice(0, Math.floor(body.length / 2)),
      (body) => body.slice(0, -1),
      () => "",
      (body) => flipped(body, random),
      (body) => flipped(body, random),
      () => new Uint8Array(1_000).map(() => Math.floor(random() * 256)),
    ];
    for (const change of damages) {
      stage.stranger.change = ({ header, body }) => ({ header, body: change(body) });
      await bus.send(Write, { text });
    }
    stage.stranger.change = undefined;
    await bus.send(Write, { text: "whole" });
    await stage.until("the whole one", () => got.includes("whole"));
    if (detectsChanges) {
      const dead = await stage.dead(bus, damages.length);
      assert.deepEqual(got, ["whole"]);
      for (const { failure } of dead)
        assert.ok(
          ["DECODE_FAILED", "UNAUTHORISED"].includes(failure?.reason ?? ""),
          failure?.message,
        );
    } else await stage.dead(bus, damages.length - 2);
  };
}

function flipped(body: Body, random: () => number): Body {
  const bytes = Uint8Array.from(Buffer.from(body as Uint8Array));
  const at = Math.floor(random() * bytes.length);
  bytes[at] = (bytes[at] as number) ^ 1;
  return bytes;
}

function strangers({ wire, seed = 1 }: WireSuiteOptions): Case {
  return async (stage) => {
    const reader = service("reader").handle(Write, () => assert.fail("it ran"));
    const bus = await stage.connect([reader], []);
    const sender = await stage.connect([service("sender", { sends: [Write] })], wire());
    await sender.send(Write, { text: textOf(200_000, seededRandom(seed)) });
    const [dead] = await stage.dead(bus, 1);
    assert.equal(dead?.failure?.reason, "DECODE_FAILED");
    assert.match(dead.failure.message, /is sealed by ".*", and this bus has no wire/);
  };
}
