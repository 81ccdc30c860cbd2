import assert from "node:assert/strict";
import { test } from "node:test";
import { kafka } from "./index.ts";
import { settingsOf } from "./options.ts";

test("options that make no sense are refused by name", () => {
  const url = "kafka://127.0.0.1";
  for (const [option, given] of [
    ["url", { url: "http://127.0.0.1" }],
    ["url", { url: "kafka://one:port" }],
    ["prefix", { url, prefix: "with.dot" }],
    ["replicas", { url, replicas: 0 }],
    ["partitions", { url, partitions: 1.5 }],
    ["member", { url, member: "a b" }],
    ["heartbeatMs", { url, sessionTimeoutMs: 1_000, heartbeatMs: 600 }],
    ["messageBytesMax", { url, messageBytesMax: 1_000 }],
  ] as const)
    assert.throws(() => kafka(given), { code: "OPTION_INVALID", details: { option } });
});

test("a URL names brokers, TLS and who asks", () => {
  const { brokers, tls, sasl, shownUrl } = settingsOf({
    url: "kafkas://us%40er:pass%2Fword@one,two:9093,[::1]:9094",
  });
  assert.deepEqual(brokers, [
    { host: "one", port: 9092 },
    { host: "two", port: 9093 },
    { host: "::1", port: 9094 },
  ]);
  assert.deepEqual(tls, {});
  assert.deepEqual(sasl, { mechanism: "PLAIN", username: "us@er", password: "pass/word" });
  assert.equal(shownUrl, "kafkas://us%40er:***@one,two:9093,[::1]:9094");
  const hub = settingsOf({
    url: "kafkas://space.servicebus.windows.net:9093",
    sasl: { mechanism: "PLAIN", username: "$ConnectionString", password: "Endpoint=sb://x" },
  });
  assert.equal(hub.sasl?.username, "$ConnectionString");
});

test("Event Hubs' connection string is the password of PLAIN over TLS, as it stands, and is not shown", () => {
  const connection =
    "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey=a/b+c=";
  const sasl = { mechanism: "PLAIN", username: "$ConnectionString", password: connection } as const;
  const settings = settingsOf({ url: "kafkas://ns.servicebus.windows.net:9093", sasl });
  const brokers = [{ host: "ns.servicebus.windows.net", port: 9093 }];
  assert.deepEqual([settings.brokers, settings.sasl, settings.tls], [brokers, sasl, {}]);
  // The same by URL alone, where what a URL does not take is escaped.
  const user = `$ConnectionString:${encodeURIComponent(connection)}`;
  const byUrl = settingsOf({ url: `kafkas://${user}@ns.servicebus.windows.net:9093` });
  assert.deepEqual([byUrl.brokers, byUrl.sasl, byUrl.tls], [brokers, sasl, {}]);
  assert.ok(!byUrl.shownUrl.includes("SharedAccessKey"));
});
