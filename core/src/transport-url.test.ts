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
    message: /known are memory:, amqp:, amqps:, sqlite:/,
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
    return Promise.resolve({ rabbitmq: make, embedded: make });
  };
  assert.equal((await transportOf("amqp://guest:secret@127.0.0.1/shop", load)).name, "made");
  await transportOf("sqlite:./some%20data", load);
  await transportOf("sqlite:///var/data", load);
  assert.deepEqual(given, [
    "@waybill/rabbitmq",
    { url: "amqp://guest:secret@127.0.0.1/shop" },
    "@waybill/broker",
    { directory: "./some data" },
    "@waybill/broker",
    { directory: "/var/data" },
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
