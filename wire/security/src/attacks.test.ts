import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { embedded } from "@waybill/broker";
import { command, feed, query } from "@waybill/contracts";
import {
  type Bus,
  type Envelope,
  type Outgoing,
  type WireTransform,
  memory,
  service,
} from "@waybill/core";
import { WireStage } from "@waybill/testkit";
import { claimCheck, directoryStore } from "@waybill/wire-claim-check";
import * as z from "zod";
import { type SigningOptions, encryption, signing } from "./index.ts";
import { secretKey } from "./testing.fixture.ts";

/**
 * A stranger who can read and write the broker, and nothing else. docs/security.md lists these tests by name.
 */
const Payment = z.object({ cents: z.int() });
const Pay = command("billing.pay", { input: Payment });
const Refund = command("billing.refund", { input: Payment });
const Balance = query("billing.balance", { input: Payment, output: Payment });
const Changes = feed("billing.changes", { input: Payment, item: Payment });

const keys: SigningOptions = { algorithm: "HS256", current: secretKey("s1", 1) };
const sealing = (): readonly WireTransform[] => [
  encryption({ current: secretKey("e1", 2) }),
  signing(keys),
];

const places = {
  memory: () => ({ factory: memory(), dispose: async () => {} }),
  embedded: () => {
    const directory = mkdtempSync(join(tmpdir(), "waybill-attacks-"));
    return {
      factory: embedded({ directory }),
      dispose: async () => rmSync(directory, { recursive: true, force: true }),
    };
  },
};

interface Bank {
  readonly stage: WireStage;
  readonly bus: Bus;
  readonly paid: readonly string[];
  /** The sealed message of the payment, as the broker holds it. */
  sent(type: string): Outgoing;
}

for (const [name, create] of Object.entries(places)) {
  describe(`attacks on ${name}`, () => {
    const attack = (title: string, run: (bank: Bank) => Promise<void>): void => {
      test(title, async () => {
        const stage = new WireStage(create(), undefined);
        const paid: string[] = [];
        const billing = service("billing")
          .handle(Pay, ({ cents }) => void paid.push(`pay ${cents}`))
          .handle(Refund, ({ cents }) => void paid.push(`refund ${cents}`))
          .answer(Balance, ({ cents }) => ({ cents: cents + 1 }))
          .serve(Changes, async function* ({ cents }) {
            for (let item = 0; item < 3; item++) yield { cents: cents + item };
          });
        try {
          const bus = await stage.connect([billing], sealing());
          const sent = (type: string): Outgoing => {
            const found = stage.stranger.seen.find(({ envelope }) => envelope.header.type === type);
            assert.ok(found, `${type} was sent`);
            return found;
          };
          await run({ stage, bus, paid, sent });
        } finally {
          await stage.close();
        }
      });
    };
    const refused = async ({ stage, bus }: Bank, reason: string, says: RegExp): Promise<void> => {
      const [dead] = await stage.dead(bus, 1);
      assert.equal(dead?.failure?.reason, reason);
      assert.match(dead.failure.message, says);
    };
    const paidOnce = async (bank: Bank): Promise<void> => {
      await bank.bus.send(Pay, { cents: 100 });
      await bank.stage.until("paid", () => bank.paid.length === 1);
    };
    const changed = (outgoing: Outgoing, change: (envelope: Envelope) => Envelope): Outgoing => ({
      ...outgoing,
      envelope: change(outgoing.envelope),
    });

    /** Asks, and is still waiting when that has happened which should not end the call. */
    const askInVain = async (asker: Bus, happens: () => Promise<unknown>): Promise<void> => {
      const patience = new AbortController();
      const { signal } = patience;
      const asking = asker.ask(Balance, { cents: 1 }, { timeoutMs: 600_000, signal });
      const ended = assert.rejects(asking, { code: "CALL_CANCELLED" });
      await happens();
      patience.abort();
      await ended;
    };

    attack(
      "nothing that crosses the broker can be read, and everything is signed",
      async (bank) => {
        await paidOnce(bank);
        await bank.bus.ask(Balance, { cents: 424_242 });
        for await (const _ of bank.bus.open(Changes, { cents: 424_242 })) assert.ok(true);
        for (const { envelope } of bank.stage.stranger.seen) {
          assert.equal(envelope.header.contentencoding, "jwe, jws", envelope.header.type);
          assert.match(String(envelope.body), /^[\w-]+\.[\w-]+\.[\w-]+\.[\w-]*\.[\w-]+$/);
          assert.ok(!JSON.stringify(envelope).includes("424242"));
        }
      },
    );

    attack("an unsigned message is refused", async (bank) => {
      const { header } = (await paidOnce(bank), bank.sent(Pay.name).envelope);
      const { contentencoding: _encoding, signature: _signature, ...plain } = header;
      await bank.stage.stranger.inject([
        {
          to: { kind: "queue", name: Pay.name },
          envelope: { header: { ...plain, id: "x" }, body: '{"cents":9}' },
        },
      ]);
      await refused(bank, "UNAUTHORISED", /came without encryption, which this bus requires/);
      assert.equal(bank.paid.length, 1);
    });

    attack("a signature that was taken off is refused", async (bank) => {
      await paidOnce(bank);
      await bank.stage.stranger.inject([
        changed(bank.sent(Pay.name), ({ header, body }) => ({
          header: { ...header, contentencoding: "jwe" },
          body,
        })),
      ]);
      await refused(bank, "UNAUTHORISED", /came without signing, which this bus requires/);
    });

    attack("a replayed message is refused, and its like was handled once", async (bank) => {
      await paidOnce(bank);
      await bank.stage.stranger.inject([bank.sent(Pay.name)]);
      await refused(
        bank,
        "UNAUTHORISED",
        /is a copy of a message that came before; it was not handled again/,
      );
      assert.deepEqual(bank.paid, ["pay 100"]);
    });

    attack("a message moved to another queue is refused", async (bank) => {
      await paidOnce(bank);
      await bank.stage.stranger.inject([
        changed(
          { ...bank.sent(Pay.name), to: { kind: "queue", name: Refund.name } },
          ({ header, body }) => ({
            header: { ...header, type: Refund.name },
            body,
          }),
        ),
      ]);
      await refused(bank, "UNAUTHORISED", /The signature of "billing.refund" does not fit/);
      assert.deepEqual(bank.paid, ["pay 100"]);
    });

    attack("a tampered header is refused", async (bank) => {
      await paidOnce(bank);
      for (const change of [
        { id: "other" },
        { source: "/services/other" },
        { time: new Date().toISOString().replace("Z", "+00:00") },
      ])
        await bank.stage.stranger.inject([
          changed(bank.sent(Pay.name), ({ header, body }) => ({
            header: { ...header, ...change },
            body,
          })),
        ]);
      const dead = await bank.stage.dead(bank.bus, 3);
      for (const { failure } of dead) {
        assert.equal(failure?.reason, "UNAUTHORISED");
        assert.match(failure?.message ?? "", /does not fit: its header or body was changed/);
      }
      assert.equal(bank.paid.length, 1);
    });

    attack("a message with a wrong key is refused", async (bank) => {
      const thief = await bank.stage.connect(
        [service("thief", { sends: [Pay] })],
        [
          encryption({ current: secretKey("e1", 2) }),
          signing({ algorithm: "HS256", current: secretKey("s1", 66) }),
        ],
      );
      await thief.send(Pay, { cents: 9 });
      await refused(bank, "UNAUTHORISED", /The signature of "billing.pay" does not fit/);
      assert.deepEqual(bank.paid, []);
    });

    attack(
      "a rotated key is known to its holder, and messages of the old one are handled",
      async (bank) => {
        const next = secretKey("s2", 3);
        const ready = await bank.stage.connect(
          [service("ready", { asks: [Balance], sends: [Pay] })],
          [encryption({ current: secretKey("e1", 2) }), signing({ ...keys, trusted: [next] })],
        );
        assert.deepEqual(await ready.ask(Balance, { cents: 1 }), { cents: 2 });
        const early = await bank.stage.connect(
          [service("early", { sends: [Pay] })],
          [
            encryption({ current: secretKey("e1", 2) }),
            signing({ algorithm: "HS256", current: next, trusted: [keys.current] }),
          ],
        );
        await early.send(Pay, { cents: 9 });
        await refused(
          bank,
          "UNAUTHORISED",
          /names the key "s2", which signing\(\) of this bus does not have\. After a rotation, give receivers the new key before senders/,
        );
      },
    );

    attack("a forged answer ends no call", async (bank) => {
      const asker = await bank.stage.connect([service("asker", { asks: [Balance] })], sealing());
      bank.stage.stranger.change = (envelope) => {
        if (envelope.header.type !== "waybill.answer") return envelope;
        const { contentencoding: _encoding, signature: _signature, ...plain } = envelope.header;
        return { header: plain, body: '{"cents":1000000}' };
      };
      await askInVain(asker, () =>
        bank.stage.until(
          "the answer is refused",
          async () => (await asker.health()).replies.forged === 1,
        ),
      );
      bank.stage.stranger.change = (envelope) =>
        envelope.header.type === "waybill.answer"
          ? { ...envelope, header: { ...envelope.header, contentencoding: "unknown" } }
          : envelope;
      await askInVain(asker, () =>
        bank.stage.until(
          "the answer is refused",
          async () => (await asker.health()).replies.forged === 2,
        ),
      );
    });

    attack(
      "items of a feed that were changed or put in another order are not seen",
      async (bank) => {
        const follower = await bank.stage.connect(
          [service("follower", { opens: [Changes] })],
          sealing(),
        );
        const follow = async (): Promise<number[]> => {
          const items: number[] = [];
          for await (const { cents } of follower.open(Changes, { cents: 10 })) items.push(cents);
          return items;
        };
        assert.deepEqual(await follow(), [10, 11, 12]);
        bank.stage.stranger.change = ({ header, body }) =>
          header.type === "waybill.item" && header.sequence === "1"
            ? { header: { ...header, sequence: "0" }, body }
            : { header, body };
        await assert.rejects(follow(), { code: "FEED_FAILED", message: /lost items on the way/ });
      },
    );

    attack("a reply address that was changed leads no answer astray", async (bank) => {
      const asker = await bank.stage.connect([service("asker", { asks: [Balance] })], sealing());
      bank.stage.stranger.change = (envelope) =>
        envelope.header.type === Balance.name
          ? { ...envelope, header: { ...envelope.header, replyto: "replies.stranger" } }
          : envelope;
      await askInVain(asker, () =>
        refused(bank, "UNAUTHORISED", /The signature of "billing.balance" does not fit/),
      );
    });

    attack("a failed, retried and replayed dead letter is no copy", async (bank) => {
      const Charge = command("shop.charge", { input: Payment });
      let runs = 0;
      const shop = service("shop").handle(
        Charge,
        () => {
          runs += 1;
          if (runs < 4) throw new Error("bank closed");
        },
        { retry: { attempts: 3, delayMs: 1, immediate: 0 } },
      );
      const bus = await bank.stage.connect([shop], sealing());
      await bus.send(Charge, { cents: 1 });
      const [dead] = await bank.stage.dead(bus, 1);
      assert.equal(dead?.failure?.reason, "HANDLER_FAILED");
      assert.throws(() => bus.deadLetters.read(dead), { code: "DECODE_FAILED" });
      assert.deepEqual(await bus.deadLetters.open(dead), { cents: 1 });
      assert.equal(await bus.deadLetters.replay([dead.handle]), 1);
      await bank.stage.until("it runs again", () => runs === 4);
    });

    attack("what goes back behind a failed message of its key is no copy", async (bank) => {
      const Step = command("shop.step", { input: Payment, key: () => "one" });
      const got: number[] = [];
      let failures = 0;
      const shop = service("shop").handle(
        Step,
        ({ cents }) => {
          if (cents === 3 && (failures += 1) < 4) throw new Error("not yet");
          got.push(cents);
        },
        { retry: { attempts: 6, delayMs: 1, immediate: 0 } },
      );
      const bus = await bank.stage.connect([shop], sealing());
      for (let cents = 0; cents < 20; cents++) await bus.send(Step, { cents });
      await bank.stage.until("all are handled", () => got.length === 20);
      assert.deepEqual(
        got,
        Array.from({ length: 20 }, (_, index) => index),
      );
      assert.deepEqual(await bus.deadLetters.list(), []);
    });

    attack("a dead letter that was edited is sealed anew", async (bank) => {
      const Charge = command("shop.charge", { input: Payment });
      const got: number[] = [];
      const shop = service("shop").handle(
        Charge,
        ({ cents }) => {
          if (cents < 0) throw new TypeError("negative");
          got.push(cents);
        },
        { retry: { immediate: 0 } },
      );
      const bus = await bank.stage.connect([shop], sealing());
      await bus.send(Charge, { cents: -5 });
      const [dead] = await bank.stage.dead(bus, 1);
      assert.ok(dead);
      await bus.deadLetters.edit(dead, { cents: 5 });
      await bank.stage.until("it is handled", () => got.length === 1);
      assert.deepEqual(got, [5]);
    });

    attack(
      "an object that is gone is a dead letter after its retries, and replayed when it is back",
      async (bank) => {
        const directory = mkdtempSync(join(tmpdir(), "waybill-objects-"));
        try {
          const Keep = command("archive.keep", { input: z.object({ text: z.string() }) });
          const store = directoryStore({ directory });
          let missing = true;
          const losing = {
            ...store,
            get: async (object: string, bytesMax: number) =>
              missing ? undefined : store.get(object, bytesMax),
          };
          const wire = (): readonly WireTransform[] => [
            claimCheck({ store: losing, thresholdBytes: 100 }),
            signing(keys),
          ];
          const got: number[] = [];
          const bus = await bank.stage.connect(
            [service("archive").handle(Keep, ({ text }) => void got.push(text.length))],
            wire(),
          );
          await bus.send(Keep, { text: "x".repeat(50_000) });
          const [dead] = await bank.stage.dead(bus, 1);
          assert.equal(dead?.failure?.reason, "NOT_FOUND");
          assert.equal(dead.failure.attempts, 2);
          missing = false;
          await bus.deadLetters.replay([dead.handle]);
          await bank.stage.until("handled", () => got.length === 1);
          assert.deepEqual(got, [50_000]);
        } finally {
          rmSync(directory, { recursive: true, force: true });
        }
      },
    );
  });
}
