import assert from "node:assert/strict";
import { test } from "node:test";
import { WaybillError, systemEnvironment } from "@waybill/core";
import { connect as amqp } from "amqplib";
import { Corner } from "./corner.test.support.ts";
import { assertRecent, brokerError } from "./errors.ts";
import { port, url } from "./subject.test.support.ts";

async function refusal(work: Promise<unknown>): Promise<WaybillError> {
  try {
    await work;
  } catch (error) {
    assert.ok(error instanceof WaybillError, String(error));
    return error;
  }
  throw new Error("it was not refused");
}

function open(corner: Corner, at: string) {
  return corner.factory({ url: at }).open({
    environment: systemEnvironment,
    logger: corner.logger,
    instance: "test",
    unrouted: () => undefined,
  });
}

const cases = [
  {
    what: "a wrong password",
    at: `amqp://guest:wrong@127.0.0.1:${port}`,
    code: "UNAUTHORISED",
    says: /Check user and password/,
  },
  {
    what: "a virtual host that is not there",
    at: `amqp://127.0.0.1:${port}/nowhere`,
    code: "UNAUTHORISED",
    says: /Create the virtual host/,
  },
  {
    what: "a port where nobody listens",
    at: "amqp://127.0.0.1:1",
    code: "TRANSPORT_FAILED",
    says: /Check that RabbitMQ runs/,
  },
] as const;

for (const { what, at, code, says } of cases)
  test(`${what} is ${code}, and the error does not show the password`, async () => {
    await using corner = new Corner();
    const error = await refusal(open(corner, at));
    assert.equal(error.code, code);
    assert.match(error.message, says);
    assert.doesNotMatch(error.message, /wrong/);
    assert.equal(error.retryable, code === "TRANSPORT_FAILED");
  });

test("a queue that exists with other arguments is WIRING_INVALID, names it, and is left as it is", async () => {
  await using corner = new Corner();
  const name = corner.name("classic");
  const connection = await amqp(url);
  const channel = await connection.createChannel();
  await channel.assertQueue(name, { durable: true });
  const transport = await open(corner, url);
  const topology = { queues: [{ name }], topics: [], subscriptions: [], streams: [] };
  const error = await refusal(transport.declare(topology));
  assert.equal(error.code, "WIRING_INVALID");
  assert.match(error.message, new RegExp(`${name}.*RabbitMQ cannot change`));
  assert.equal((await channel.checkQueue(name)).queue, name);
  await transport[Symbol.asyncDispose]();
  await connection.close();
});

test("a queue cannot become one that keeps the order of keys", async () => {
  await using corner = new Corner();
  const name = corner.name("loose");
  const transport = await open(corner, url);
  const topology = { topics: [], subscriptions: [], streams: [] };
  await transport.declare({ ...topology, queues: [{ name }] });
  const error = await refusal(
    transport.declare({ ...topology, queues: [{ name, sessions: true }] }),
  );
  assert.equal(error.code, "WIRING_INVALID");
  assert.match(error.message, /x-single-active-consumer/);
  await transport[Symbol.asyncDispose]();
});

test("a server older than 3.10 is NOT_SUPPORTED, with its version", () => {
  for (const old of ["3.9.13", "2.8.0", undefined])
    assert.throws(() => assertRecent(old), { code: "NOT_SUPPORTED", message: /needs 3\.10/ });
  for (const recent of ["3.10.0", "3.13.7", "4.0.2"]) assertRecent(recent);
});

test("missing rights are UNAUTHORISED, with which to grant", () => {
  const refused = Object.assign(
    new Error("ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'u'"),
    { code: 403 },
  );
  const { code, message, retryable } = brokerError("Declaring", refused);
  assert.deepEqual([code, retryable], ["UNAUTHORISED", false]);
  assert.match(message, /Grant the user configure, write and read/);
});
