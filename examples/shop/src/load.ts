/** `npm run shop:load`: a scripted customer that follows every order to its end. `-- --help` lists the options. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { audit, readBooks } from "./load/audit.ts";
import type { Account } from "./load/customer.ts";
import { balanceOf, describeBalance, replayDead, runLoad } from "./load/run.ts";
import { Shop } from "./shop.ts";

const usage = `npm run shop:load -- [options]
  --orders N      orders to place (default 200)
  --customers N   customers at the same time (default 32)
  --kill          kills a random service every two seconds while customers shop
  --replay        replays the dead letters afterwards and follows them to their end
  --seed N        draws other customers (default 1)
  --url URL       a shop that runs already; without it one is started on empty data
  --keep          keeps the data of the shop that was started
  --help          show this`;

const { values } = parseArgs({
  options: {
    orders: { type: "string", default: "200" },
    customers: { type: "string", default: "32" },
    seed: { type: "string", default: "1" },
    url: { type: "string" },
    kill: { type: "boolean", default: false },
    replay: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});

// Waybill's timers let a process end; this one has to wait for its customers.
const awake = setInterval(() => undefined, 60_000);
try {
  if (values.help) console.log(usage);
  else process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  clearInterval(awake);
}

async function main(): Promise<boolean> {
  if (values.url !== undefined) return load(values.url);
  const directory = mkdtempSync(join(tmpdir(), "waybill-shop-"));
  try {
    const env = { SHOP_DELIVERY_MS: "200", SHOP_SEED: values.seed };
    await using shop = new Shop({ directory, port: 0, env, log: tellOfDeaths });
    await shop.open();
    return await load(shop.url, { shop, directory });
  } finally {
    if (values.keep) console.log(`The data is in ${directory}.`);
    else rmSync(directory, { recursive: true, force: true });
  }
}

async function load(url: string, own?: { shop: Shop; directory: string }): Promise<boolean> {
  const orders = count("orders");
  const began = performance.now();
  const ended = new AbortController();
  const killing = values.kill && own ? killSome(own.shop, ended.signal) : undefined;
  const accounts = await runLoad({
    url,
    orders,
    customers: Math.min(count("customers"), orders),
    random: seeded(count("seed")),
    onEnd: (done) => void (done % 100 === 0 && console.log(`${done} orders have ended`)),
  });
  const seconds = (performance.now() - began) / 1000;
  ended.abort();
  const kills = await killing;
  console.log(
    `\n${orders} orders in ${seconds.toFixed(1)} s, ${(orders / seconds).toFixed(1)} orders/s`,
  );
  if (kills !== undefined) console.log(`Killed on the way: ${kills.join(", ") || "nobody"}`);
  const settled = await check(accounts, own?.directory);
  if (!values.replay) return settled;
  console.log("\nAfter the dead letters were replayed:");
  return (await check(await replayDead(url, accounts), own?.directory)) && settled;
}

async function check(
  accounts: readonly Account[],
  directory: string | undefined,
): Promise<boolean> {
  const balance = balanceOf(accounts);
  console.log(describeBalance(balance));
  for (const { plan, end } of accounts)
    if (end === "stuck") console.log(`never ended: ${plan.orderId}`);
  if (directory === undefined) return balance.balances;
  const faults = await audit(directory, accounts);
  for (const fault of faults) console.log(`does not fit: ${fault}`);
  if (faults.length === 0) console.log("Stock, money and parcels fit the orders.");
  const books = await readBooks(directory);
  for (const line of books.lines) console.log(`  ${line}`);
  console.log(
    books.balanced ? "The broker's books balance." : "The broker's books do NOT balance.",
  );
  return balance.balances && faults.length === 0 && books.balanced;
}

/** Answers whom it killed. */
async function killSome(shop: Shop, signal: AbortSignal): Promise<readonly string[]> {
  const killed: string[] = [];
  for (;;) {
    await pause(2_000, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return killed;
    const victim = shop.processes[Math.floor(Math.random() * shop.processes.length)];
    if (victim === undefined) continue;
    killed.push(victim.name);
    victim.kill();
  }
}

function tellOfDeaths(line: string): void {
  if (/ended with|did not end/.test(line)) console.log(line);
}

function count(option: "orders" | "customers" | "seed"): number {
  const number = Number(values[option]);
  if (Number.isInteger(number) && number >= 1) return number;
  throw new RangeError(`--${option} is "${values[option]}"; give a whole number from 1.`);
}

/** mulberry32: the same customers for the same seed. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
