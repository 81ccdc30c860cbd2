import assert from "node:assert/strict";
import type { Header } from "@waybill/core";
import { type SuiteCase, needsAtomicBatch, needsKeyedOrder, needsOrder } from "./case.ts";
import { numbers, toQueue, toStream, toTopic } from "./messages.ts";
import { bodyText, settleAll } from "./probe.ts";

const everyField: Header = {
  specversion: "1.0",
  id: "b6a1ab4e-2f6e-4a5f-9f5e-0d7a3c1e9b21",
  source: "/services/ordering",
  type: "ordering.place-order",
  subject: "orders/1 ünïcode ✓",
  time: "2030-01-01T12:34:56.789Z",
  datacontenttype: "application/json; charset=utf-8",
  dataschema: "urn:waybill:ordering.place-order:2",
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  tracestate: "vendor=one,other=two",
  correlationid: "correlation",
  causationid: "causation",
  conversationid: "conversation",
  partitionkey: "key",
  sequence: "0000000017",
  expirytime: "2031-01-01T00:00:00.000Z",
  replyto: "reply.instance-1",
  dedupid: "dedup",
  deadline: "2031-01-01T00:00:00.000Z",
  calldepth: 3,
  attributes: {
    region: "EU",
    total: 12.5,
    vip: true,
    empty: "",
    zero: 0,
    no: false,
    "with space": '✓ "quoted"',
  },
};

export const queueCases: readonly SuiteCase[] = [
  {
    id: "queue.header",
    title: "every field of the header arrives as it was sent, attributes with their types",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send([
        { to: { kind: "queue", name: queue }, envelope: { header: everyField, body: "{}" } },
      ]);
      const delivery = await stage.receive(transport, source).next();
      assert.deepEqual(delivery.envelope.header, everyField);
      assert.equal(delivery.attempt, 1);
      assert.equal(delivery.failure, undefined);
      assert.equal(delivery.position, undefined);
      assert.ok(
        Math.abs(delivery.enqueuedAt - stage.now()) < 10_000,
        "enqueuedAt is the broker's time of taking it",
      );
    },
  },
  {
    id: "queue.bodies",
    title: "a body arrives as it was sent: text in any script, empty, bytes of every value, 200 kB",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
      const large = "0123456789".repeat(
        Math.min(20_000, Math.floor(transport.capabilities.bodyBytesMax / 10)),
      );
      const bodies = [
        "",
        "plain",
        "ünïcode ✓ 漢字 😀 \u0000 \r\n",
        bytes,
        new Uint8Array(0),
        large,
      ];
      await transport.send(
        bodies.map((body) =>
          toQueue(queue, body, { header: { datacontenttype: "application/octet-stream" } }),
        ),
      );
      const taken = await stage.receive(transport, source).take(bodies.length);
      const sent = bodies.map((body) => Buffer.from(body as string).toString("hex"));
      const came = taken.map(({ envelope }) =>
        Buffer.from(envelope.body as string).toString("hex"),
      );
      assert.deepEqual(came.toSorted(), sent.toSorted());
    },
  },
  {
    id: "queue.own-bytes",
    title: "writing into bytes that were sent or received changes nobody else's message",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const bytes = Uint8Array.of(1, 2, 3);
      await transport.send([toQueue(queue, bytes)]);
      bytes.fill(9);
      const probe = stage.receive(transport, source);
      const first = await probe.next();
      assert.deepEqual([...(first.envelope.body as Uint8Array)], [1, 2, 3]);
      (first.envelope.body as Uint8Array).fill(8);
      await first.settle({ kind: "release" });
      assert.deepEqual([...((await probe.next()).envelope.body as Uint8Array)], [1, 2, 3]);
    },
  },
  {
    id: "queue.too-large",
    title:
      "a body above the limit is refused with BODY_TOO_LARGE, and nothing of its batch is stored",
    notFor: ({ bodyBytesMax }) =>
      bodyBytesMax <= 64_000_000 ? undefined : "takes bodies beyond 64 MB",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const { bodyBytesMax } = transport.capabilities;
      await assert.rejects(transport.send([toQueue(queue, "x".repeat(bodyBytesMax + 1))]), {
        code: "BODY_TOO_LARGE",
      });
      const wide = "é".repeat(Math.floor(bodyBytesMax / 2) + 1);
      await assert.rejects(transport.send([toQueue(queue, wide)]), { code: "BODY_TOO_LARGE" });
      await transport.send([toQueue(queue, "x".repeat(bodyBytesMax))]);
      const probe = stage.receive(transport, source, { prefetchBytes: 4 * bodyBytesMax });
      assert.equal(bodyText(await probe.next()).length, bodyBytesMax);
      await probe.nothingMore();
    },
  },
  {
    id: "queue.order",
    title: "one consumer gets the messages of a queue in the order of sending",
    notFor: needsOrder,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const sent = numbers(500);
      for (let from = 0; from < 500; from += 50) {
        await transport.send(sent.slice(from, from + 50).map((body) => toQueue(queue, body)));
      }
      const probe = stage.receive(transport, source, { prefetch: 20, ...settleAll });
      await probe.take(500);
      assert.deepEqual(probe.bodies, sent);
    },
  },
  {
    id: "queue.key-order",
    title:
      "one consumer gets the messages of each key in the order of sending, from several batches",
    notFor: needsKeyedOrder,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const keys = ["a", "b", "c", "d", "e"];
      for (let from = 0; from < 40; from += 4)
        await transport.send(
          keys.flatMap((partitionkey) =>
            numbers(4).map((number) =>
              toQueue(queue, `${partitionkey}${from + Number(number)}`, {
                header: { partitionkey },
              }),
            ),
          ),
        );
      const probe = stage.receive(transport, source, { prefetch: 20, ...settleAll });
      await probe.take(200);
      for (const key of keys)
        assert.deepEqual(
          probe.bodies.filter((body) => body.startsWith(key)),
          numbers(40).map((number) => `${key}${number}`),
        );
    },
  },
  {
    id: "queue.competing",
    title: "competing consumers in two instances get each message once, all messages together",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const other = await stage.open();
      const options = { prefetch: 5, ...settleAll };
      const probes = [
        stage.receive(transport, source, options),
        stage.receive(other, source, options),
        stage.receive(other, source, options),
      ];
      const sent = numbers(300);
      await transport.send(sent.map((body) => toQueue(queue, body)));
      const got = (): readonly string[] => probes.flatMap((probe) => probe.bodies);
      await stage.until("300 deliveries", () => got().length >= 300);
      await stage.pass(30);
      assert.deepEqual(
        got()
          .map(Number)
          .toSorted((left, right) => left - right),
        sent.map(Number),
      );
    },
  },
  {
    id: "queue.waits",
    title: "messages wait for a receiver that comes later, from another instance",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send([toQueue(queue, "early")]);
      await transport[Symbol.asyncDispose]();
      const probe = stage.receive(await stage.open(), source);
      assert.equal(bodyText(await probe.next()), "early");
    },
  },
  {
    id: "queue.batch",
    title: "a batch with one message that cannot be stored is refused as a whole",
    notFor: needsAtomicBatch,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await assert.rejects(
        transport.send([toQueue(queue, "one"), toQueue(stage.name("nowhere"), "two")]),
        { code: "UNROUTABLE" },
      );
      await transport.send([toQueue(queue, "three"), toQueue(queue, "four")]);
      const probe = stage.receive(transport, source);
      assert.deepEqual((await probe.take(2)).map(bodyText), ["three", "four"]);
      await probe.nothingMore();
    },
  },
  {
    id: "queue.empty-batch",
    title: "sending an empty batch is allowed and stores nothing",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send([]);
      await transport.send([toQueue(queue, "first")]);
      const probe = stage.receive(transport, source);
      assert.equal(bodyText(await probe.next()), "first");
      await probe.nothingMore();
    },
  },
  {
    id: "queue.unroutable",
    title: "sending to a queue, topic or stream that does not exist is refused with UNROUTABLE",
    run: async (stage) => {
      const { transport } = await stage.withQueue();
      const nowhere = stage.name("nowhere");
      const attempts = [toQueue(nowhere, "x"), toTopic(nowhere, "x")];
      if (transport.capabilities.streams) attempts.push(toStream(nowhere, "x", "key"));
      for (const outgoing of attempts)
        await assert.rejects(transport.send([outgoing]), { code: "UNROUTABLE" });
    },
  },
];
