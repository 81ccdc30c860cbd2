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
import type { Supervised } from "./supervised.ts";
import type { Place } from "./transport.ts";

const usage = `npm run shop:load -- [options]
  --orders N      orders to place (default 200)
  --customers N   customers at the same time (default 32)
  --kill          kills a random service every two seconds while customers shop
  --kill-one NAME kills this service once, when a third of the orders has ended
  --replay        replays the dead letters afterwards and follows them to their end
  --seed N        draws other customers (default 1)
  --url URL       a shop that runs already; without it one is started on empty data
  --transport URL what carries its messages, such as amqp://guest:guest@127.0.0.1:5672; nothing of a shop may lie there
  --keep          keeps the data of the shop that was started
  --help          show this`;

const { values } = parseArgs({
  options: {
    orders: { type: "string", default: "200" },
    customers: { type: "string", default: "32" },
    seed: { type: "string", default: "1" },
    url: { type: "string" },
    transport: { type: "string" },
    kill: { type: "boolean", default: false },
    "kill-one": { type: "string" },
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
    const { transport } = values;
    const options = { directory, port: 0, env, log: tellOfDeaths };
    await using shop = new Shop(transport === undefined ? options : { ...options, transport });
    await shop.open();
    return await load(shop.url, { shop, directory, transport });
  } finally {
    if (values.keep) console.log(`The data is in ${directory}.`);
    else rmSync(directory, { recursive: true, force: true });
  }
}

async function load(url: string, own?: Place & { readonly shop: Shop }): Promise<boolean> {
  const orders = count("orders");
  const began = performance.now();
  const ended = new AbortController();
  const killing = values.kill && own ? killSome(own.shop, ended.signal) : undefined;
  const victim = values["kill-one"] === undefined ? undefined : victimIn(own?.shop);
  const killsAt = Math.ceil(orders / 3);
  const accounts = await runLoad({
    url,
    orders,
    customers: Math.min(count("customers"), orders),
    random: seeded(count("seed")),
    onEnd: (done) => {
      if (done % 100 === 0) console.log(`${done} orders have ended`);
      if (done === killsAt) victim?.kill();
    },
  });
  const seconds = (performance.now() - began) / 1000;
  ended.abort();
  const kills = await killing;
  console.log(
    `\n${orders} orders in ${seconds.toFixed(1)} s, ${(orders / seconds).toFixed(1)} orders/s`,
  );
  if (kills !== undefined) console.log(`Killed on the way: ${kills.join(", ") || "nobody"}`);
  const settled = await check(accounts, own);
  if (!values.replay) return settled;
  console.log("\nAfter the dead letters were replayed:");
  return (await check(await replayDead(url, accounts), own)) && settled;
}

async function check(accounts: readonly Account[], place: Place | undefined): Promise<boolean> {
  const balance = balanceOf(accounts);
  console.log(describeBalance(balance));
  for (const { plan, end } of accounts)
    if (end === "stuck") console.log(`never ended: ${plan.orderId}`);
  if (place === undefined) return balance.balances;
  const faults = await audit(place, accounts);
  for (const fault of faults) console.log(`does not fit: ${fault}`);
  if (faults.length === 0) console.log("Stock, money and parcels fit the orders.");
  const books = await readBooks(place);
  if (books === undefined) {
    console.log("This broker keeps no books of its own.");
    return balance.balances && faults.length === 0;
  }
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

function victimIn(shop: Shop | undefined): Supervised {
  const names = shop?.processes.map(({ name }) => name) ?? [];
  const victim = shop?.processes.find(({ name }) => name === values["kill-one"]);
  if (victim !== undefined) return victim;
  throw new RangeError(
    `--kill-one is "${values["kill-one"]}"; of a shop that this script starts itself: ${names.join(", ")}.`,
  );
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
