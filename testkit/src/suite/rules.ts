import assert from "node:assert/strict";
import type { Attributes, Rule } from "@waybill/contracts";
import type { SuiteCase } from "./case.ts";
import { toTopic, topology } from "./messages.ts";
import { bodyText } from "./probe.ts";
import type { Stage } from "./stage.ts";

const events: Readonly<Record<string, Attributes>> = {
  bare: {},
  eu: { region: "EU", total: 50, vip: false },
  us: { region: "US", total: 150, vip: true },
  north: { region: "EU-north", total: 100 },
  text: { region: "EU", total: "100" },
};

const type = "suite.happened";

/** Which of `events` a subscription with that rule gets. */
async function selected(stage: Stage, rule: Where | undefined): Promise<readonly string[]> {
  const topic = stage.name(`rule-${stage.environment.id().slice(-6)}`);
  const accepts = [
    rule === undefined ? { type } : { type, where: rule as Rule },
    { type: "suite.end" },
  ];
  const transport = await stage.declared({
    topics: [{ name: topic }],
    subscriptions: [{ topic, name: "one", accepts }],
  });
  const sent = Object.entries(events).map(([body, attributes]) =>
    toTopic(topic, body, { header: { attributes } }),
  );
  await transport.send(sent);
  // What a rule turns away has a subscriber all the same.
  assert.deepEqual(stage.unrouted(transport), []);
  await transport.send([toTopic(topic, "end", { header: { type: "suite.end" } })]);
  const probe = stage.receive(transport, { kind: "subscription", topic, name: "one" });
  await stage.until("the end mark", () => probe.bodies.includes("end"));
  return probe.bodies.filter((body) => body !== "end").toSorted();
}

/** Attribute names beside `and`, `or` and `not`: the type of a rule over any attributes cannot tell them apart. */
type Where = Readonly<Record<string, unknown>>;

interface RuleExample {
  readonly operator: string;
  readonly rules: readonly (readonly [Where | undefined, readonly string[]])[];
}

const examples: readonly RuleExample[] = [
  {
    operator: "eq",
    rules: [
      [undefined, ["bare", "eu", "north", "text", "us"]],
      [{ region: "EU" }, ["eu", "text"]],
      [{ total: { eq: 100 } }, ["north"]],
      [{ vip: false }, ["eu"]],
      [{ region: "EU", total: 50 }, ["eu"]],
    ],
  },
  {
    operator: "compare",
    rules: [
      [{ total: { gt: 50 } }, ["north", "us"]],
      [{ total: { gte: 50, lt: 150 } }, ["eu", "north"]],
      [{ total: { lte: 50 } }, ["eu"]],
      [{ region: { gt: "EU" } }, ["north", "us"]],
    ],
  },
  {
    operator: "in",
    rules: [
      [{ region: { in: ["US", "EU-north"] } }, ["north", "us"]],
      [{ total: { in: [50, "100"] } }, ["eu", "text"]],
      [{ region: { in: [] } }, []],
    ],
  },
  {
    operator: "prefix",
    rules: [
      [{ region: { prefix: "EU" } }, ["eu", "north", "text"]],
      [{ region: { prefix: "eu" } }, []],
      [{ total: { prefix: "10" } }, ["text"]],
    ],
  },
  {
    operator: "exists",
    rules: [
      [{ vip: { exists: true } }, ["eu", "us"]],
      [{ vip: { exists: false } }, ["bare", "north", "text"]],
    ],
  },
  {
    operator: "logic",
    rules: [
      [{ or: [{ region: "US" }, { total: { lt: 60 } }] }, ["eu", "us"]],
      [{ and: [{ region: { prefix: "EU" } }, { total: { gte: 100 } }] }, ["north"]],
      [{ not: { region: "EU" } }, ["bare", "north", "us"]],
      [{ vip: { not: true } }, ["bare", "eu", "north", "text"]],
    ],
  },
];

export const ruleCases: readonly SuiteCase[] = [
  ...examples.map(({ operator, rules }): SuiteCase => ({
    id: `rule.${operator}`,
    title: `a subscription gets exactly the events that its rule selects: ${operator}`,
    notFor: ({ filters }) =>
      filters.some((filter) => filter === operator)
        ? undefined
        : `leaves the operator "${operator}" to the core`,
    run: async (stage) => {
      for (const [rule, expected] of rules)
        assert.deepEqual(await selected(stage, rule), expected, JSON.stringify(rule));
    },
  })),
  {
    id: "rule.replaced",
    title: "declaring a subscription again replaces its rules and keeps what it holds",
    notFor: ({ filters }) => (filters.includes("eq") ? undefined : "leaves rules to the core"),
    run: async (stage) => {
      const topic = stage.name("topic");
      const wanting = (region: string) =>
        topology({
          topics: [{ name: topic }],
          subscriptions: [{ topic, name: "one", accepts: [{ type, where: { region } }] }],
        });
      const publish = (body: string, region: string) =>
        toTopic(topic, body, { header: { attributes: { region } } });
      const transport = await stage.open();
      await transport.declare(wanting("EU"));
      await transport.send([publish("old-eu", "EU"), publish("old-us", "US")]);
      await (await stage.open()).declare(wanting("US"));
      await transport.send([publish("new-eu", "EU"), publish("new-us", "US")]);
      const probe = stage.receive(transport, { kind: "subscription", topic, name: "one" });
      assert.deepEqual((await probe.take(2)).map(bodyText).toSorted(), ["new-us", "old-eu"]);
      await probe.nothingMore();
    },
  },
  {
    id: "rule.invalid",
    title: "a rule that cannot be read is refused with WIRING_INVALID",
    run: async (stage) => {
      const topic = stage.name("topic");
      const transport = await stage.open();
      const where = { total: { about: 5 } } as unknown as Rule;
      const subscriptions = [{ topic, name: "one", accepts: [{ type, where }] }];
      await assert.rejects(
        transport.declare(topology({ topics: [{ name: topic }], subscriptions })),
        { code: "WIRING_INVALID" },
      );
    },
  },
];
