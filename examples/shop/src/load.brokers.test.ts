import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { type Corner, onKafka, onNats, onRabbitmq } from "./corners.fixture.ts";

const load = join(import.meta.dirname, "load.ts");
const orders = 20;
/** Draws two cards that end as dead letters, one that is never paid, one that is declined, and the book of which there are three. */
const seed = 7;

const brokers: Readonly<Record<string, () => Promise<Corner>>> = {
  RabbitMQ: onRabbitmq,
  NATS: onNats,
  Kafka: onKafka,
};

for (const [broker, open] of Object.entries(brokers)) {
  test(`the shop on ${broker}: a service is killed among the orders, the ledger balances, and again after the dead letters were replayed`, async (context) => {
    const corner = await open();
    let left: readonly string[];
    try {
      const output = await shopLoad(corner.url);
      for (const line of output.trim().split("\n")) context.diagnostic(line);
      assert.match(output, /ordering \(pid \d+\) ended with SIGKILL; it starts again/);
      const ends = [...output.matchAll(/^(\d+) accepted = .* \+ (\d+) dead$/gm)];
      assert.deepEqual(
        ends.map(([, accepted, dead]) => [Number(accepted), Number(dead)]),
        [
          [orders, 2],
          [orders, 0],
        ],
      );
      assert.equal(output.match(/^Stock, money and parcels fit the orders\.$/gm)?.length, 2);
      assert.notDeepEqual(await corner.names(), [], "nothing of it ran in its corner");
    } finally {
      await corner.remove();
      left = await corner.names();
      await corner.close();
    }
    assert.deepEqual(left, [], "stays on the server");
  });
}

/** What `npm run shop:load` prints; it must end with 0. */
async function shopLoad(url: string): Promise<string> {
  const child = spawn(
    process.execPath,
    [
      "--conditions=@waybill/source",
      load,
      "--transport",
      url,
      "--orders",
      String(orders),
      "--customers",
      String(orders),
      "--seed",
      String(seed),
      "--kill-one",
      "ordering",
      "--replay",
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  // Not `exit`: then what it printed last may still be on its way.
  const [code] = (await once(child, "close")) as [number | null];
  assert.equal(code, 0, output);
  return output;
}
