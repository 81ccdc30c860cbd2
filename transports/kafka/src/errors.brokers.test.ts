import assert from "node:assert/strict";
import { createServer } from "node:net";
import { once } from "node:events";
import { test } from "node:test";
import { WaybillError } from "@waybill/core";
import { TcpFaultProxy } from "@waybill/testkit";
import { Corner, open, port, until } from "./corner.test.support.ts";
import { kafka } from "./index.ts";

const unsupportedVersion = 35;

test("credentials that a listener does not take are UNAUTHORISED, without the password", async () => {
  await using corner = new Corner();
  const url = `kafka://user:secret@127.0.0.1:${port}`;
  await assert.rejects(open(corner.factory({ url })), (error: Error) => {
    assert.ok(error instanceof WaybillError && error.code === "UNAUTHORISED", String(error));
    assert.match(error.message, /Check mechanism, user and password/);
    assert.ok(!error.message.includes("secret"));
    return true;
  });
});

test("a broker that cannot be reached is told with what to do, and no password", async () => {
  await using proxy = await TcpFaultProxy.listen({ port });
  proxy.freeze();
  await using corner = new Corner();
  const url = `kafka://user:secret@127.0.0.1:${proxy.port}`;
  const options = { url, connectTimeoutMs: 300, requestTimeoutMs: 300 };
  await assert.rejects(open(corner.factory(options)), (error: Error) => {
    assert.ok(error instanceof WaybillError && error.code === "TRANSPORT_FAILED", String(error));
    assert.ok(!error.message.includes("secret"));
    return true;
  });
});

test("a broker that is too old is NOT_SUPPORTED, with the version that is needed", async () => {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (request) => socket.write(versions(request)));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  try {
    const url = `kafka://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
    await assert.rejects(open(kafka({ url })), {
      code: "NOT_SUPPORTED",
      message: /The broker is too old: .* Update it to Kafka 2.8 or newer/,
    });
  } finally {
    server.close();
  }
});

/** What a broker of Kafka 0.10 says it knows: Produce up to version 2, and nothing else. */
function versions(request: Buffer): Buffer {
  const [asked, correlation] = [request.readInt16BE(6), request.readInt32BE(8)];
  const answer = Buffer.alloc(4 + 4 + 2 + 4 + 6 + 4);
  answer.writeInt32BE(answer.byteLength - 4, 0);
  answer.writeInt32BE(correlation, 4);
  answer.writeInt16BE(asked > 1 ? unsupportedVersion : 0, 8);
  answer.writeInt32BE(1, 10);
  answer.writeInt16BE(0, 14);
  answer.writeInt16BE(0, 16);
  answer.writeInt16BE(2, 18);
  return answer;
}

test("a session that the brokers do not allow is told by the option", async () => {
  await using corner = new Corner();
  await using transport = await open(corner.factory({ sessionTimeoutMs: 1_000, heartbeatMs: 100 }));
  await transport.declare({ queues: [{ name: "q" }], topics: [], subscriptions: [], streams: [] });
  const told: WaybillError[] = [];
  const limits = { prefetch: 1, prefetchBytes: 1_000, lockMs: 1_000 };
  transport.receive({ kind: "queue", name: "q" }, limits, {
    deliver: () => undefined,
    fault: (error) => void told.push(error),
  });
  const isTold = ({ code, message }: WaybillError): boolean =>
    code === "OPTION_INVALID" && message.includes("sessionTimeoutMs");
  await until("it is told", () => told.some(isTold));
});
