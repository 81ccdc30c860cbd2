import assert from "node:assert/strict";
import type { Attributes } from "@waybill/contracts";
import type { Acceptance, Delivery } from "@waybill/core";
import { type SuiteCase, needsDeadLetters, needsRuleActions } from "./case.ts";
import { failure, toTopic, topology } from "./messages.ts";
import { withTopic } from "./topics.ts";

const type = "suite.happened";

function shown({ envelope }: Pick<Delivery, "envelope">): Attributes | undefined {
  return envelope.header.attributes;
}

const attributes = { region: "EU", total: 5, internal: true };

export const ruleActionCases: readonly SuiteCase[] = [
  {
    id: "rule-action.set",
    title:
      "a rule sets and removes attributes of its subscription's copy, types kept, and of no other copy; the rest of the header stays",
    notFor: needsRuleActions,
    run: async (stage) => {
      const set = { tier: "gold", total: 7, vip: false, internal: null, absent: null };
      const { transport, topic, source } = await withTopic(stage, {
        changed: [{ type, where: { region: "EU" }, set }],
        plain: [{ type }],
        bare: [{ type, set: { region: null, total: null, internal: null } }],
      });
      const sent = toTopic(topic, "event", { header: { attributes, subject: "s" } });
      await transport.send([sent]);
      const [copy, plain, bare] = await Promise.all(
        ["changed", "plain", "bare"].map((name) => stage.receive(transport, source(name)).next()),
      );
      assert.ok(copy !== undefined && plain !== undefined && bare !== undefined);
      assert.deepEqual(shown(copy), { region: "EU", total: 7, tier: "gold", vip: false });
      assert.deepEqual(plain.envelope, sent.envelope);
      assert.deepEqual(shown(bare) ?? {}, {});
      const { attributes: _, ...rest } = copy.envelope.header;
      const { attributes: __, ...before } = sent.envelope.header;
      assert.deepEqual(rest, before);
    },
  },
  {
    id: "rule-action.first",
    title: "of several rules of one type the first that holds changes the one copy there is",
    notFor: needsRuleActions,
    run: async (stage) => {
      const { transport, topic, source } = await withTopic(stage, {
        one: [
          { type, where: { total: { gt: 100 } }, set: { tier: "gold" } },
          { type, where: { total: { gt: 10 } } },
          { type, set: { tier: "plain" } },
        ],
      });
      for (const total of [500, 50, 5])
        await transport.send([toTopic(topic, `${total}`, { header: { attributes: { total } } })]);
      const probe = stage.receive(transport, source("one"));
      assert.deepEqual((await probe.take(3)).map(shown), [
        { total: 500, tier: "gold" },
        { total: 50 },
        { total: 5, tier: "plain" },
      ]);
      await probe.nothingMore();
    },
  },
  {
    id: "rule-action.dead",
    title: "a dead letter shows what its rule set, and a replay keeps it when the rule is gone",
    notFor: (capabilities) => needsRuleActions(capabilities) ?? needsDeadLetters(capabilities),
    run: async (stage) => {
      const { transport, topic, source } = await withTopic(stage, {
        one: [{ type, set: { tier: "gold" } }],
      });
      await transport.send([toTopic(topic, "event", { header: { attributes } })]);
      const probe = stage.receive(transport, source("one"));
      await (await probe.next()).settle({ kind: "deadLetter", failure: failure(1) });
      await transport.declare(
        topology({ subscriptions: [{ topic, name: "one", accepts: [{ type }] }] }),
      );
      const dead = { state: "dead", address: `${topic}/one` } as const;
      const [letter] = await stage.listed(transport.inspection, dead, 1);
      assert.deepEqual(letter?.envelope.header.attributes, { ...attributes, tier: "gold" });
      assert.equal(await transport.inspection.replay([letter.handle]), 1);
      assert.deepEqual(shown(await probe.next()), { ...attributes, tier: "gold" });
    },
  },
  {
    id: "rule-action.invalid",
    title:
      "an action with a name or a value that no attribute has, or too many of them, is refused with WIRING_INVALID",
    notFor: needsRuleActions,
    run: async (stage) => {
      const topic = stage.name("topic");
      const transport = await stage.open();
      const many = Array.from({ length: 21 }, (_, index) => [`name${index}`, 1]);
      for (const set of [
        { "no name": 1 },
        { not: 1 },
        { tier: { eq: 1 } },
        { tier: Number.NaN },
        { tier: "x".repeat(1_001) },
        Object.fromEntries(many),
        ["tier"],
      ] as unknown as readonly NonNullable<Acceptance["set"]>[]) {
        const subscriptions = [{ topic, name: "one", accepts: [{ type, set }] }];
        await assert.rejects(
          transport.declare(topology({ topics: [{ name: topic }], subscriptions })),
          { code: "WIRING_INVALID" },
          JSON.stringify(set).slice(0, 80),
        );
      }
    },
  },
];
