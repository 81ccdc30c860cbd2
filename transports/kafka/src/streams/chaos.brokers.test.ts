import assert from "node:assert/strict";
import { test } from "node:test";
import { type Delivery, sleep, systemEnvironment } from "@waybill/core";
import { TcpFaultProxy, seededRandom } from "@waybill/testkit";
import { Corner, Reading, appended, until } from "../corner.test.support.ts";

const keys = Array.from({ length: 12 }, (_, index) => `key-${index}`);
const count = 1_200;
const faults = 14;

test("on bad lines to a group that comes and goes nothing is lost, and nothing of a key overtakes", async (context) => {
  const seed = Math.floor(systemEnvironment.random() * 2 ** 31);
  context.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  await using proxies = new AsyncDisposableStack();
  await using corner = new Corner();
  const sender = await corner.withStream("rough", 6);
  /** Of each key, how far it was handled. */
  const done = new Map<string, number>();
  const overtaken: string[] = [];
  const handle = (delivery: Delivery): void => {
    const [key = "", number = ""] = Buffer.from(delivery.envelope.body).toString().split(":");
    const next = (done.get(key) ?? keys.indexOf(key) - keys.length) + keys.length;
    if (Number(number) > next) overtaken.push(`${key}:${number} before ${next}`);
    if (Number(number) === next) done.set(key, next);
    void delivery.settle(random() < 0.05 ? { kind: "release" } : { kind: "complete" });
  };
  const members = await Promise.all([1, 2, 3].map(() => farAway(corner, handle)));
  for (const { proxy } of members) proxies.use(proxy);
  const items = appended("rough", count, keys);
  for (let fault = 0; fault < faults; fault++) {
    await sender.send(items.slice((fault * count) / faults, ((fault + 1) * count) / faults));
    const { proxy } = members[Math.floor(random() * members.length)] as (typeof members)[number];
    const kind = random();
    if (kind < 0.4) proxy.reset();
    else if (kind < 0.7) proxy.resetAfter(Math.floor(random() * 2_000), "toServer");
    else proxy.freeze();
    await sleep(systemEnvironment.timers, 100 + random() * 900);
    proxy.heal();
  }
  const last = (key: string): boolean => done.get(key) === count - keys.length + keys.indexOf(key);
  await until("every item to be handled", () => keys.every(last), 120_000);
  assert.deepEqual(overtaken, []);
});

async function farAway(
  corner: Corner,
  onDelivery: (delivery: Delivery) => void,
): Promise<{ readonly proxy: TcpFaultProxy; readonly reading: Reading }> {
  const proxy = await TcpFaultProxy.listen({ port: 9092 });
  const transport = await corner.open({
    url: `kafka://127.0.0.1:${proxy.port}`,
    reach: () => ({ host: "127.0.0.1", port: proxy.port }),
    sessionTimeoutMs: 6_000,
    requestTimeoutMs: 2_500,
  });
  return { proxy, reading: new Reading(transport, "rough", { prefetch: 20, onDelivery }) };
}
