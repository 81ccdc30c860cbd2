import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, type Socket, connect, createServer } from "node:net";
import { type TestContext, test } from "node:test";
import { TcpFaultProxy } from "./tcp-proxy.ts";

test("bytes pass unchanged in both directions, and an end is passed on", async (context) => {
  await using proxy = await echoBehindProxy(context);
  const sent = Buffer.alloc(1_000_000, "waybill");
  const client = dial(proxy);
  client.end(sent);
  assert.deepEqual(Buffer.concat(await client.toArray()), sent);
});

test("single bytes are the same bytes", async (context) => {
  await using proxy = await echoBehindProxy(context);
  proxy.shape({ chunkBytes: 1 });
  const client = dial(proxy);
  let pieces = 0;
  client.on("data", () => (pieces += 1));
  client.end("a frame that comes in many pieces");
  assert.equal(
    Buffer.concat(await client.toArray()).toString(),
    "a frame that comes in many pieces",
  );
  assert.ok(pieces > 1, "it came in one piece");
});

test("latency holds back what is sent, and not one after the other", async (context) => {
  await using proxy = await echoBehindProxy(context);
  proxy.shape({ latencyMs: 100 });
  const client = dial(proxy);
  const beganAt = performance.now();
  for (let round = 0; round < 20; round++) {
    client.write("x");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  client.end();
  await client.toArray();
  const tookMs = performance.now() - beganAt;
  assert.ok(tookMs >= 200, `${tookMs} ms for two ways of 100 ms`);
  assert.ok(tookMs < 2_000, `${tookMs} ms: every piece waited for the one before`);
});

test("a narrow line takes its time", async (context) => {
  await using proxy = await echoBehindProxy(context);
  proxy.shape({ bytesPerSecond: 100_000 });
  const client = dial(proxy);
  const beganAt = performance.now();
  client.end(Buffer.alloc(20_000));
  await client.toArray();
  assert.ok(performance.now() - beganAt >= 200);
});

test("a reset cuts off after so many bytes", async (context) => {
  await using proxy = await echoBehindProxy(context);
  const client = await connected(proxy);
  proxy.resetAfter(10, "toClient");
  const received: Buffer[] = [];
  client.on("data", (bytes: Buffer) => received.push(bytes));
  client.write("0123456789abcdef");
  const [error] = (await once(client, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ECONNRESET");
  assert.ok(Buffer.concat(received).length <= 10);
  assert.equal(proxy.open, 0);
});

test("a frozen line says nothing and closes nothing, until it heals", async (context) => {
  await using proxy = await echoBehindProxy(context);
  const client = await connected(proxy);
  proxy.freeze();
  client.write("hello?");
  const early = await Promise.race([
    once(client, "data").then(() => "data"),
    once(client, "close").then(() => "close"),
    new Promise((resolve) => setTimeout(() => resolve("silence"), 100)),
  ]);
  assert.equal(early, "silence");
  const late = once(client, "data");
  proxy.heal();
  assert.equal(String((await late)[0]), "hello?");
});

test("a swallowed answer never comes, and healing resets", async (context) => {
  await using proxy = await echoBehindProxy(context);
  const client = await connected(proxy);
  proxy.swallow(["toClient"]);
  client.on("data", () => assert.fail("it was to be swallowed"));
  client.write("hello?");
  await new Promise((resolve) => setTimeout(resolve, 50));
  const failed = once(client, "error");
  proxy.heal();
  assert.equal(((await failed)[0] as NodeJS.ErrnoException).code, "ECONNRESET");
  const next = await connected(proxy);
  assert.equal(String(await answerOf(next, "again")), "again");
});

test("refused connections are reset, later ones are taken", async (context) => {
  await using proxy = await echoBehindProxy(context);
  proxy.refuse();
  const refused = dial(proxy);
  await assert.rejects(refused.toArray());
  proxy.heal();
  assert.equal(String(await answerOf(await connected(proxy), "welcome")), "welcome");
});

async function echoBehindProxy(context: TestContext): Promise<TcpFaultProxy> {
  const server = createServer((socket) => void socket.on("error", () => {}).pipe(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => server.close());
  return TcpFaultProxy.listen({ port: (server.address() as AddressInfo).port });
}

function dial(proxy: TcpFaultProxy): Socket {
  // A reset may come when the test no longer looks; who waits for it hears it too.
  return connect({ host: "127.0.0.1", port: proxy.port }).on("error", () => {});
}

/** Through to the server: a word went there and back. */
async function connected(proxy: TcpFaultProxy): Promise<Socket> {
  const client = dial(proxy);
  await answerOf(client, "?");
  return client;
}

async function answerOf(client: Socket, word: string): Promise<unknown> {
  const answer = once(client, "data");
  client.write(word);
  return (await answer)[0];
}
