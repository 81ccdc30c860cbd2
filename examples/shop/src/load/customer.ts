import { sleep, systemEnvironment } from "waybill";
import type { Basket } from "../contracts/basket.ts";
import type { Card, OrderState } from "../contracts/ordering.ts";
import { ShopClient } from "./client.ts";

/** What one customer is going to do. */
export interface Plan {
  readonly orderId: string;
  readonly sku: string;
  readonly quantity: number;
  readonly card: Card;
  readonly region: "EU" | "US" | "ASIA";
  readonly tier: "standard" | "vip";
  readonly payWithinMs: number;
}

export type End = Extract<OrderState, "completed" | "rejected" | "cancelled"> | "dead" | "stuck";

/** One customer's order, followed to its end. */
export interface Account {
  readonly plan: Plan;
  readonly visitor: string;
  readonly end: End;
  readonly totalCents: number;
}

/** Tells whether one of an order's messages stands among the dead letters. */
export interface Graveyard {
  holds(orderId: string): boolean;
}

const skus = ["tea", "mug", "lantern", "compass", "map", "backpack", "boots"];
const patienceMs = 180_000;
const { timers } = systemEnvironment;

/** The same customers for the same `random`. One in twenty-five wants a book of which there are three. */
export function planOrder(random: () => number): Plan {
  const pick = <Value>(values: readonly Value[]): Value =>
    values[Math.floor(random() * values.length)] as Value;
  const card = cardFor(random());
  return {
    orderId: systemEnvironment.id(),
    sku: random() < 0.04 ? "first-edition" : pick(skus),
    quantity: 1 + Math.floor(random() * 3),
    card,
    region: pick(["EU", "US", "ASIA"]),
    tier: random() < 0.1 ? "vip" : "standard",
    payWithinMs: card === "silent" ? 3_000 : 300_000,
  };
}

function cardFor(draw: number): Card {
  if (draw < 0.02) return "poison";
  if (draw < 0.04) return "silent";
  return draw < 0.09 ? "declined" : "good";
}

/** Fills a basket, orders and waits for the end. What it answers was accepted by the shop. */
export async function buy(url: string, plan: Plan, graveyard: Graveyard): Promise<Account> {
  const visitor = systemEnvironment.id();
  const client = new ShopClient(url, visitor);
  const { orderId, sku, quantity, card, region, tier, payWithinMs } = plan;
  await client.call("POST", "/api/page-views", { sku });
  await client.call("POST", "/api/basket/lines", { sku, quantity });
  const totalCents = await waitForBasket(client);
  const name = `Customer ${orderId.slice(0, 4)}`;
  await client.call("POST", "/api/orders", { orderId, name, card, region, tier, payWithinMs });
  return { plan, visitor, totalCents, end: await follow(client, orderId, graveyard) };
}

async function waitForBasket(client: ShopClient): Promise<number> {
  for (;;) {
    const { lines, totalCents } = await client.call<Basket>("GET", "/api/basket");
    if (lines.length > 0) return totalCents;
    await sleep(timers, 20);
  }
}

/** Watches until the order has ended or stands among the dead; gives up after three minutes. */
export async function follow(
  client: ShopClient,
  orderId: string,
  graveyard: Graveyard,
): Promise<End> {
  const left = new AbortController();
  const { signal } = left;
  try {
    return await Promise.race([
      watch(client, orderId, signal),
      poll(client, orderId, signal),
      mourn(orderId, graveyard, signal),
      sleep(timers, patienceMs, signal).then(() => "stuck" as const),
    ]);
  } finally {
    left.abort();
  }
}

async function watch(client: ShopClient, orderId: string, signal: AbortSignal): Promise<End> {
  for await (const { state } of client.watch(orderId, signal)) {
    if (isEnd(state)) return state;
  }
  return "stuck";
}

/** A feed notices by silence that the process behind it was killed, which takes its time; a question now and then does not. */
async function poll(client: ShopClient, orderId: string, signal: AbortSignal): Promise<End> {
  for (;;) {
    await sleep(timers, 2_000, signal);
    const state = await client.stateOf(orderId);
    if (state !== undefined && isEnd(state)) return state;
  }
}

async function mourn(orderId: string, graveyard: Graveyard, signal: AbortSignal): Promise<End> {
  while (!graveyard.holds(orderId)) await sleep(timers, 250, signal);
  return "dead";
}

function isEnd(state: OrderState): state is Extract<End, OrderState> {
  return state === "completed" || state === "rejected" || state === "cancelled";
}
