import assert from "node:assert/strict";
import { createServer } from "node:net";
import { once } from "node:events";
import { test } from "node:test";
import { type Transport, systemEnvironment } from "@waybill/core";
import { nats } from "./index.ts";

const ignore = (): void => undefined;
const unheard = "NATS/1.0 503\r\n\r\n";

interface Fake {
  readonly version?: string;
  /** What it answers to who introduces himself. */
  readonly greets: string;
}

/** Enough of a server to be connected to: it answers signs of life, and to every question that nobody answers it. */
async function asked({ version = "2.9.10", greets }: Fake): Promise<Transport> {
  const server = createServer((socket) => {
    const info = { server_id: "fake", version, proto: 1, headers: true, max_payload: 1_048_576 };
    socket.write(`INFO ${JSON.stringify(info)}\r\n`);
    socket.on("error", ignore);
    socket.on("data", (data) => {
      for (const line of data.toString().split("\r\n")) {
        const [verb, subject = "", reply = ""] = line.split(" ");
        if (verb === "PING") socket.write(greets);
        if (verb === "PUB" && subject.startsWith("$JS.API"))
          socket.write(`HMSG ${reply} 1 ${unheard.length} ${unheard.length}\r\n${unheard}\r\n`);
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  try {
    return await nats({
      url: `nats://user:secret@127.0.0.1:${port}`,
      connectTimeoutMs: 2_000,
    }).open({
      environment: systemEnvironment,
      logger: { debug: ignore, info: ignore, warn: ignore, error: ignore },
      instance: "errors",
      unrouted: ignore,
    });
  } finally {
    server.close();
  }
}

test("bad credentials are UNAUTHORISED, without the password", async () => {
  await assert.rejects(asked({ greets: "-ERR 'Authorization Violation'\r\n" }), (error: Error) => {
    assert.equal((error as { code?: string }).code, "UNAUTHORISED");
    assert.match(error.message, /Check user, password, token or credentials/);
    assert.ok(!error.message.includes("secret"));
    return true;
  });
});

test("a server that is too old is NOT_SUPPORTED, with the version that is needed", async () => {
  await assert.rejects(asked({ version: "2.8.4", greets: "PONG\r\n" }), {
    code: "NOT_SUPPORTED",
    message: /2\.8\.4 is too old. Update it to 2\.9 or newer/,
  });
});

test("a server without JetStream is NOT_SUPPORTED, with how to enable it", async () => {
  await assert.rejects(asked({ greets: "PONG\r\n" }), {
    code: "NOT_SUPPORTED",
    message: /Start nats-server with -js/,
  });
});

test("options that make no sense are refused by name", () => {
  const url = "nats://127.0.0.1";
  for (const [option, given] of [
    ["url", { url: "http://127.0.0.1" }],
    ["prefix", { url, prefix: "with.dot" }],
    ["replicas", { url, replicas: 7 }],
    ["sendTimeoutMs", { url, sendTimeoutMs: 1_000_000 }],
  ] as const)
    assert.throws(() => nats(given), { code: "OPTION_INVALID", details: { option } });
});
