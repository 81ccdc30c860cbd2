import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, command, event, stream } from "@waybill/contracts";
import { connect, defer, service, topology } from "@waybill/core";
import { makeByHand } from "./by-hand.test.support.ts";
import { Corner, until } from "./corner.test.support.ts";

type Order = { readonly id: string };

const Order: Schema<Order> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as Order }) },
};

const Place = command("ordering.place", { input: Order });
const Placed = event("ordering.placed", { payload: Order });
const Log = stream("ordering.log", { item: Order, key: ({ id }) => id, partitions: 2 });

async function topicsOf(corner: Corner): Promise<readonly string[]> {
  const topics = await corner.admin().listTopics();
  return topics.filter((name) => name.startsWith(`${corner.prefix}.`)).toSorted();
}

test("a bus that may create nothing runs on what was created from the definitions, and creates nothing", async () => {
  await using corner = new Corner();
  const seen: string[] = [];
  const never = Object.assign(new Error("never"), { retryable: false });
  const ordering = service("ordering", { publishes: [Placed], appends: [Log] })
    .handle(
      Place,
      async ({ id }, context) => {
        seen.push(`place ${id} ${context.attempt}`);
        if (id === "late" && context.attempt === 1) throw new Error("not yet");
        if (id === "aside") return defer();
        if (id === "dead") throw never;
        await context.publish(Placed, { id });
        await context.append(Log, { id });
        return undefined;
      },
      { retry: { immediate: 0, attempts: 3, delayMs: 100, jitter: 0 } },
    )
    .on(Placed, ({ id }) => void seen.push(`placed ${id}`))
    .consume(Log, ({ id }) => {
      seen.push(`logged ${id}`);
      if (id === "now") throw never;
    });
  const services = [ordering] as const;
  const options = { ...corner.options, services, declare: "verify" } as const;
  await assert.rejects(connect(options), {
    code: "WIRING_INVALID",
    message: /queue\.ordering\.place" is missing\. Create it from the definitions/,
  });
  const [broker] = await topology({ transport: corner.factory(), services });
  assert.deepEqual(broker?.topology.streams[0]?.groups, ["ordering"]);
  await makeByHand(corner.admin(), broker?.definitions?.data);
  const before = await topicsOf(corner);
  await using bus = await connect(options);
  for (const id of ["now", "late", "aside", "dead"]) await bus.send(Place, { id });
  const count = (verb: string): number => seen.filter((each) => each.startsWith(verb)).length;
  await until("all came", () => count("placed") === 2 && count("logged") === 2);
  await until("two are dead", async () => (await bus.deadLetters.list()).length === 2);
  await until("one is aside", async () => (await bus.deferred.list()).length === 1);
  assert.deepEqual(await topicsOf(corner), before);
});

test("topics that are missing or otherwise are named at once, with what they are and must be", async () => {
  await using corner = new Corner();
  const ordering = service("ordering")
    .handle(Place, () => undefined)
    .consume(Log, () => undefined);
  const services = [ordering] as const;
  const [broker] = await topology({ transport: corner.factory(), services });
  await makeByHand(corner.admin(), broker?.definitions?.data, (topic) => {
    if (topic.name.endsWith("dead.ordering.place"))
      return { ...topic, config: ["cleanup.policy=delete"] };
    if (topic.name.endsWith("queue.ordering.place"))
      return { ...topic, partitions: 7, config: ["retention.ms=3600000"] };
    if (topic.name.endsWith("stream.ordering.log")) return { ...topic, partitions: 3 };
    return topic.name.endsWith("returns.ordering.log_40ordering") ? undefined : topic;
  });
  await assert.rejects(
    connect({ ...corner.options, services, declare: "verify" }),
    ({ message }: Error) => {
      assert.match(
        message,
        /dead\.ordering\.place" has cleanup\.policy=delete and must have compact/,
      );
      assert.match(message, /queue\.ordering\.place" has retention\.ms=3600000 and must have -1/);
      assert.match(message, /stream\.ordering\.log" has 3 partitions and must have 2/);
      assert.match(message, /returns\.ordering\.log_40ordering" is missing/);
      // How many partitions a queue has is the operator's choice.
      assert.doesNotMatch(message, /7 partitions/);
      return true;
    },
  );
});
