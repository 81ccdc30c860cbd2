import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { systemEnvironment } from "@waybill/core";
import { AckPolicy, type ConsumerInfo, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { Acknowledgements } from "./acknowledgements.ts";
import type { Link } from "./link.ts";
import { Pull, type Pulled } from "./pull.ts";
import { Requests } from "./requests.ts";

const stream = `test-acks-${systemEnvironment.id()}`;
const consumer = "reader";
const count = 500;
let link: Link;

before(async () => {
  const connection = await connect({ servers: "127.0.0.1:4222" });
  const requests = new Requests(connection, systemEnvironment);
  link = { connection, requests, jetstream: await jetstreamManager(connection) };
  await link.jetstream.streams.add({ name: stream, subjects: [stream], retention: "workqueue" });
});

after(async () => {
  await link.jetstream.streams.delete(stream);
  await link.connection.close();
});

const info = (): Promise<ConsumerInfo> => link.jetstream.consumers.info(stream, consumer);

async function taken(): Promise<readonly Pulled[]> {
  await link.jetstream.consumers.add(stream, {
    durable_name: consumer,
    ack_policy: AckPolicy.Explicit,
    max_ack_pending: -1,
  });
  for (let index = 0; index < count; index++) link.connection.publish(stream, String(index));
  const came: Pulled[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const pull = new Pull({
    connection: link.connection,
    stream,
    consumer,
    now: () => systemEnvironment.clock.monotonic(),
    message: (message) => {
      if (came.push(message) === count) resolve();
    },
    // On a slow server before all had come.
    ended: () => pull.request(count - came.length, 10_000),
    gone: () => reject(new Error("the consumer is gone")),
  });
  pull.request(count, 10_000);
  await promise;
  await pull.end();
  return came;
}

test("when one turn's acknowledgements are settled, the server has every one of them", async () => {
  const came = await taken();
  const acknowledgements = new Acknowledgements({ link, environment: systemEnvironment });
  assert.equal((await info()).num_ack_pending, count);
  const settled = came.map((message) => acknowledgements.acknowledge(message));
  assert.deepEqual([...new Set(await Promise.all(settled))], ["settled"]);
  const { num_ack_pending, ack_floor } = await info();
  assert.equal(num_ack_pending, 0);
  assert.equal(ack_floor.stream_seq, came.at(-1)?.sequence);
});

test("what is acknowledged in the turns after that is settled as well", async () => {
  const came = await taken();
  const acknowledgements = new Acknowledgements({ link, environment: systemEnvironment });
  for (const message of came.slice(0, 3)) {
    assert.equal(await acknowledgements.acknowledge(message), "settled");
    await pause(0);
  }
  assert.equal((await info()).num_ack_pending, count - 3);
  await Promise.all(came.slice(3).map((message) => acknowledgements.acknowledge(message)));
  assert.equal((await info()).num_ack_pending, 0);
});

test("a consumer that is gone took nothing: none is settled", async () => {
  const came = await taken();
  await link.jetstream.consumers.delete(stream, consumer);
  const acknowledgements = new Acknowledgements({ link, environment: systemEnvironment });
  const settled = came.map((message) => acknowledgements.acknowledge(message));
  assert.deepEqual([...new Set(await Promise.all(settled))], ["lockLost"]);
});

test("a connection that is closed took nothing that is known of", async () => {
  const closed = await connect({ servers: "127.0.0.1:4222" });
  const requests = new Requests(closed, systemEnvironment);
  const gone: Link = { ...link, connection: closed, requests };
  const acknowledgements = new Acknowledgements({ link: gone, environment: systemEnvironment });
  const message = { reply: "nowhere", domain: undefined } as Pulled;
  const settled = acknowledgements.acknowledge(message);
  await closed.close();
  assert.equal(await settled, "unknown");
});
