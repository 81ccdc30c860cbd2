import assert from "node:assert/strict";
import { test } from "node:test";
import { connect } from "./connect.ts";
import { service } from "./service.ts";
import { recordingLogger } from "./testing.fixture.ts";
import { transportOf } from "./transport-url.ts";

test("connect takes a URL for a transport", async () => {
  const options = { services: [service("orders")], logger: recordingLogger() };
  await using bus = await connect({ ...options, transport: "memory:" });
  assert.equal((await bus.health()).status, "up");
  await assert.rejects(connect({ ...options, transport: "carrier-pigeon://roof" }), {
    code: "OPTION_INVALID",
    message: /known are memory:, amqp:, amqps:, kafka:, kafkas:, nats:, sqlite:/,
  });
});

test("the package behind a scheme is loaded and given what the URL says", async () => {
  const given: unknown[] = [];
  const make = (options: unknown) => {
    given.push(options);
    return { name: "made", open: () => Promise.reject(new Error("not here")) };
  };
  const load = (name: string): Promise<object> => {
    given.push(name);
    return Promise.resolve({ rabbitmq: make, kafka: make, nats: make, embedded: make });
  };
  assert.equal((await transportOf("amqp://guest:secret@127.0.0.1/shop", load)).name, "made");
  await transportOf("nats://127.0.0.1:4222", load);
  await transportOf("kafka://one:9092,two:9093", load);
  await transportOf("sqlite:./some%20data", load);
  await transportOf("sqlite:///var/data", load);
  assert.deepEqual(given, [
    "@waybill/rabbitmq",
    { url: "amqp://guest:secret@127.0.0.1/shop" },
    "@waybill/nats",
    { url: "nats://127.0.0.1:4222" },
    "@waybill/kafka",
    { url: "kafka://one:9092,two:9093" },
    "@waybill/broker",
    { directory: "./some data" },
    "@waybill/broker",
    { directory: "/var/data" },
  ]);
});

test("what a URL says of a prefix is an option of every server's transport, and the rest stays in the URL", async () => {
  const given: unknown[] = [];
  const make = (options: unknown) => {
    given.push(options);
    return { name: "made", open: () => Promise.reject(new Error("not here")) };
  };
  const load = () => Promise.resolve({ rabbitmq: make, kafka: make, nats: make });
  await transportOf("amqp://127.0.0.1/shop?prefix=a.", load);
  await transportOf("amqp://127.0.0.1/shop?prefix=a%2E&frameMax=8192", load);
  await transportOf("amqp://127.0.0.1/shop?frameMax=8192&prefix=a&channelMax=9", load);
  await transportOf("nats://127.0.0.1:4222?prefix=b", load);
  await transportOf("kafka://one:9092,two:9093?prefix=c", load);
  await transportOf("kafka://one:9092?xprefix=c", load);
  assert.deepEqual(given, [
    { url: "amqp://127.0.0.1/shop", prefix: "a." },
    { url: "amqp://127.0.0.1/shop?frameMax=8192", prefix: "a." },
    { url: "amqp://127.0.0.1/shop?frameMax=8192&channelMax=9", prefix: "a" },
    { url: "nats://127.0.0.1:4222", prefix: "b" },
    { url: "kafka://one:9092,two:9093", prefix: "c" },
    { url: "kafka://one:9092?xprefix=c" },
  ]);
});

test("a package that is not installed is named with the command that installs it, and no password is shown", async () => {
  const missing = Object.assign(new Error("Cannot find package"), { code: "ERR_MODULE_NOT_FOUND" });
  await assert.rejects(
    transportOf("amqp://guest:secret@127.0.0.1", () => Promise.reject(missing)),
    (error: Error) =>
      /npm install @waybill\/rabbitmq/.test(error.message) && !error.message.includes("secret"),
  );
  const broken = new Error("the package itself is broken");
  await assert.rejects(
    transportOf("amqp://127.0.0.1", () => Promise.reject(broken)),
    broken,
  );
  await assert.rejects(
    transportOf("amqp://127.0.0.1", () => Promise.resolve({})),
    { code: "OPTION_INVALID" },
  );
});
