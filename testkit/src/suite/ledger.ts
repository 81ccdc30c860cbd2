import assert from "node:assert/strict";
import { type Delivery, equationOf } from "@waybill/core";
import { assertBalanced, assertBooked, entryOf } from "./accounts.ts";
import { type SuiteCase, needsDedup, needsDelay, needsLedger } from "./case.ts";
import { envelope, failure, numbers, toQueue, toTopic, topology } from "./messages.ts";
import { complete, release, settleAll } from "./probe.ts";

const minute = 60_000;
const dead = { kind: "deadLetter", failure: failure(1) } as const;
const notFor: SuiteCase["notFor"] = (capabilities) =>
  needsLedger(capabilities) ?? needsDelay(minute)(capabilities);

/** accepted = handled + dead + waiting + what is named, after whatever is done at a queue or a topic. */
export const ledgerCases: readonly SuiteCase[] = [
  {
    id: "ledger.settling",
    title: "whatever becomes of a delivery, its message is accounted for",
    notFor,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const booked = (equation: string) => assertBooked(transport, queue, equation);
      await booked("0 = nothing");
      await transport.send(numbers(6).map((body) => toQueue(queue, body)));
      await booked("6 = ready 6");
      const probe = stage.receive(transport, source, { prefetch: 5 });
      const [first, second, third, fourth, fifth] = (await probe.take(5)) as Delivery[];
      await probe.receiver.stop();
      await booked("6 = ready 1 + inFlight 5");
      await first?.settle(complete);
      await second?.settle(dead);
      await third?.settle({ kind: "defer" });
      await fourth?.settle({ kind: "retry", delayMs: minute, failure: failure(1) });
      await booked("6 = completed 1 + dead 1 + deferred 1 + ready 1 + inFlight 1 + scheduled 1");
      await fifth?.settle(release);
      assert.equal(await fifth?.settle(complete), "lockLost");
      const notBefore = stage.now() + minute;
      await transport.send([toQueue(queue, "later", { notBefore })]);
      await booked("7 = completed 1 + dead 1 + deferred 1 + ready 2 + scheduled 2");
    },
  },
  {
    id: "ledger.repair",
    title: "replaying, editing, discarding, cancelling and purging are accounted for by name",
    notFor,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const { inspection } = transport;
      const booked = (equation: string) => assertBooked(transport, queue, equation);
      await transport.send(numbers(6).map((body) => toQueue(queue, body)));
      const burying = stage.receive(transport, source);
      for (const delivery of await burying.take(6)) await delivery.settle(dead);
      await burying.receiver.stop();
      const query = { state: "dead", address: queue } as const;
      const handles = (await stage.listed(inspection, query, 6)).map(({ handle }) => handle);
      await inspection.replay(handles.slice(0, 2));
      await booked("6 = dead 4 + ready 2");
      await inspection.replace(handles[2] ?? "", envelope("edited"));
      await booked("7 = replaced 1 + dead 3 + ready 3");
      await inspection.discard(handles.slice(3, 4));
      await booked("7 = discarded 1 + replaced 1 + dead 2 + ready 3");
      await inspection.purge(queue, "dead");
      await booked("7 = discarded 1 + purged 2 + replaced 1 + ready 3");
      await stage.receive(transport, source, settleAll).take(3);
      const notBefore = stage.now() + minute;
      await transport.send([toQueue(queue, "later", { notBefore })]);
      const [later] = await stage.listed(inspection, { state: "scheduled", address: queue }, 1);
      await inspection.discard([later?.handle ?? ""]);
      await stage.until("all is settled", async () => {
        const entry = await entryOf(transport, queue);
        return entry.completed === 3 && entry.waiting.inFlight === 0;
      });
      await booked("8 = completed 3 + cancelled 1 + discarded 1 + purged 2 + replaced 1");
    },
  },
  {
    id: "ledger.expiry",
    title: "what expires becomes a dead letter, or is named as expired where its sender said so",
    notFor,
    run: async (stage) => {
      const { transport, queue } = await stage.withQueue();
      const notAfter = stage.now() + 50;
      await transport.send([
        toQueue(queue, "kept", { notAfter }),
        toQueue(queue, "call", { notAfter, discardExpired: true }),
        toQueue(queue, "other"),
      ]);
      await stage.pass(60);
      await stage.until("both are over", async () => {
        const { waiting } = await entryOf(transport, queue);
        return waiting.ready === 1;
      });
      await assertBooked(transport, queue, "3 = expired 1 + dead 1 + ready 1");
    },
  },
  {
    id: "ledger.sending",
    title: "what leaves with a settlement is booked with it; what is refused is not booked at all",
    notFor,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const sends = (name: string) => [toQueue(name, "sent")];
      await transport.send([toQueue(queue, "a"), toQueue(queue, "b")]);
      const [a, b] = await stage.receive(transport, source, { prefetch: 2 }).take(2);
      await assert.rejects(transport.send([toQueue(queue, "c"), ...sends("nowhere")]));
      await assert.rejects(async () => a?.settle({ kind: "complete", send: sends("nowhere") }));
      await assertBooked(transport, queue, "2 = inFlight 2");
      await a?.settle({ kind: "complete", send: sends(queue) });
      await assertBooked(transport, queue, "3 = completed 1 + ready 1 + inFlight 1");
      await b?.settle(complete);
      assert.equal(await b?.settle({ kind: "complete", send: sends(queue) }), "lockLost");
      await stage.until("it has come", async () => {
        const { waiting } = await entryOf(transport, queue);
        return waiting.inFlight === 1;
      });
      await assertBooked(transport, queue, "3 = completed 2 + inFlight 1");
    },
  },
  {
    id: "ledger.duplicates",
    title: "what a destination remembers is accepted and named as a duplicate",
    notFor: (capabilities) => needsLedger(capabilities) ?? needsDedup(minute)(capabilities),
    run: async (stage) => {
      const [queue, topic] = [stage.name("queue"), stage.name("topic")];
      const accepts = [{ type: "suite.happened" }];
      const transport = await stage.declared({
        queues: [{ name: queue, dedupWindowMs: minute }],
        topics: [{ name: topic, dedupWindowMs: minute }],
        subscriptions: [{ topic, name: "a", accepts }],
      });
      const sent = [toQueue(queue, "x"), toQueue(queue, "y"), toQueue(queue, "x")];
      await transport.send([...sent, toTopic(topic, "x"), toTopic(topic, "x")]);
      await transport.send(sent);
      await assertBooked(transport, queue, "6 = duplicates 4 + ready 2");
      await assertBooked(transport, `${topic}/`, "2 = duplicates 1 + routed 1");
      await assertBooked(transport, `${topic}/a`, "1 = ready 1");
    },
  },
  {
    id: "ledger.topics",
    title:
      "an event is booked at its topic and once at each subscription that takes it; one that nobody takes is named",
    notFor: needsLedger,
    run: async (stage) => {
      const topic = stage.name("topic");
      const transport = await stage.declared({ topics: [{ name: topic }] });
      const publish = (...regions: string[]) =>
        transport.send(
          regions.map((region) => toTopic(topic, region, { header: { attributes: { region } } })),
        );
      await publish("early");
      await assertBooked(transport, `${topic}/`, "1 = dead 1");
      const accepts = [{ type: "suite.happened", where: { region: "EU" } }];
      const all = [{ type: "suite.happened", where: { region: { in: ["EU", "US", "early"] } } }];
      await transport.declare(
        topology({
          subscriptions: [
            { topic, name: "eu", accepts },
            { topic, name: "both", accepts: all },
          ],
        }),
      );
      await publish("EU", "US", "XX");
      await assertBooked(transport, `${topic}/`, "4 = filtered 1 + routed 2 + dead 1");
      const query = { state: "dead", address: `${topic}/` } as const;
      const [early] = await stage.listed(transport.inspection, query, 1);
      await transport.inspection.replay([early?.handle ?? ""]);
      await assertBooked(transport, `${topic}/`, "4 = filtered 1 + republished 1 + routed 2");
      await assertBooked(transport, `${topic}/eu`, "1 = ready 1");
      await assertBooked(transport, `${topic}/both`, "3 = ready 3");
    },
  },
  {
    id: "ledger.types",
    title: "where contracts share an address, each has its own account",
    notFor: needsLedger,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const of = (type: string, body: string) => toQueue(queue, body, { header: { type } });
      await transport.send([of("a", "1"), of("b", "2"), of("a", "3"), of("b", "4"), of("c", "5")]);
      const [one, two] = await stage.receive(transport, source, { prefetch: 3 }).take(3);
      await one?.settle(complete);
      await two?.settle(dead);
      await stage.until("there is room for two more", async () => {
        const { waiting } = await entryOf(transport, queue);
        return waiting.inFlight === 3;
      });
      const entry = await entryOf(transport, queue);
      assert.deepEqual([...entry.contracts].toSorted(), ["a", "b", "c"]);
      const types = Object.fromEntries(entry.types.map((each) => [each.type, equationOf(each)]));
      assert.deepEqual(types, {
        a: "2 = completed 1 + inFlight 1",
        b: "2 = dead 1 + inFlight 1",
        c: "1 = inFlight 1",
      });
      await assertBalanced(transport);
    },
  },
  {
    id: "ledger.many-types",
    title: "more types than a book tells apart share one line, and every line balances",
    notFor: needsLedger,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const of = (type: string) => toQueue(queue, type, { header: { type } });
      const types = numbers(130).map((number) => `type${number}`);
      for (let from = 0; from < 130; from += 65)
        await transport.send(types.slice(from, from + 65).map(of));
      const deliveries = await stage.receive(transport, source, { prefetch: 120 }).take(120);
      for (const [index, delivery] of deliveries.entries())
        await delivery.settle(index % 2 === 0 ? complete : dead);
      const entry = await entryOf(transport, queue);
      assert.equal(entry.completed, 60);
      assert.equal(entry.types.length, 101);
      assert.equal(entry.types.find(({ type }) => type === "")?.accepted, 30);
      await assertBalanced(transport);
    },
  },
  {
    id: "ledger.oldest",
    title: "an account tells the age of what is first in line, in flight too, and 0 for nothing",
    notFor,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const oldest = async () => (await entryOf(transport, queue)).oldestWaitingMs;
      assert.equal(await oldest(), 0);
      await transport.send([toQueue(queue, "old")]);
      await transport.send([toQueue(queue, "later", { notBefore: stage.now() + minute })]);
      await stage.pass(100);
      await transport.send([toQueue(queue, "young")]);
      const probe = stage.receive(transport, source, { prefetch: 1 });
      const old = await probe.next();
      const age = await oldest();
      assert.ok(age >= 95 && age < 5_000, `the oldest is ${age} ms old`);
      await old.settle(dead);
      await (await probe.next()).settle(complete);
      await stage.until("nothing is in line", async () => (await oldest()) === 0);
    },
  },
  {
    id: "ledger.instances",
    title: "what dies with an instance's temporary queue is named, and what it held comes back",
    notFor: needsLedger,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const reply = stage.name("reply");
      const caller = await stage.declared({ queues: [{ name: reply, temporary: true }] });
      await transport.send([toQueue(queue, "a"), toQueue(queue, "b")]);
      await transport.send(numbers(3).map((body) => toQueue(reply, body)));
      const gone = async () =>
        (await transport.inspection.ledger()).find(({ kind }) => kind === "removed");
      const before = (await gone())?.left.dropped ?? 0;
      await stage.receive(caller, { kind: "queue", name: reply }, { prefetch: 1 }).take(1);
      const [first] = await stage.receive(caller, source, { prefetch: 2 }).take(2);
      await first?.settle(complete);
      await caller[Symbol.asyncDispose]();
      await assertBooked(transport, queue, "2 = completed 1 + ready 1");
      await stage.until("the temporary queue is empty", async () => {
        const entry = await gone();
        return (
          entry !== undefined && entry.left.dropped === before + 3 && entry.waiting.ready === 0
        );
      });
      await assertBalanced(transport);
    },
  },
];
