import { sleep, systemEnvironment } from "waybill";
import { ShopClient } from "./client.ts";
import { type Account, type End, type Graveyard, buy, follow, planOrder } from "./customer.ts";

const { timers } = systemEnvironment;

export interface LoadOptions {
  readonly url: string;
  readonly orders: number;
  /** Customers in the shop at the same time. */
  readonly customers: number;
  /** Draws what they buy. */
  readonly random: () => number;
  readonly onEnd?: (ended: number) => void;
}

/** Sends customers through the shop and answers what became of every order. */
export async function runLoad({
  url,
  orders,
  customers,
  random,
  onEnd,
}: LoadOptions): Promise<readonly Account[]> {
  await using graveyard = new WatchedGraveyard(url);
  const plans = Array.from({ length: orders }, () => planOrder(random)).values();
  const accounts: Account[] = [];
  const shopper = async (): Promise<void> => {
    for (const plan of plans) {
      accounts.push(await buy(url, plan, graveyard));
      onEnd?.(accounts.length);
    }
  };
  await Promise.all(Array.from({ length: customers }, shopper));
  return accounts;
}

/** Replays every dead letter and follows the orders behind them to their end. */
export async function replayDead(
  url: string,
  accounts: readonly Account[],
): Promise<readonly Account[]> {
  const client = new ShopClient(url);
  const letters = await client.deadLetters();
  for (let at = 0; at < letters.length; at += 100) {
    const handles = letters.slice(at, at + 100).map(({ handle }) => handle);
    await client.call("POST", "/api/dead-letters/replay", { handles });
  }
  const living: Graveyard = { holds: () => false };
  return Promise.all(
    accounts.map(async (account) => {
      if (account.end !== "dead") return account;
      const { plan, visitor } = account;
      return { ...account, end: await follow(new ShopClient(url, visitor), plan.orderId, living) };
    }),
  );
}

/** Which orders stand among the dead letters, looked up twice a second. */
class WatchedGraveyard implements Graveyard, AsyncDisposable {
  readonly #client: ShopClient;
  readonly #left = new AbortController();
  readonly #watching: Promise<void>;
  #orders: ReadonlySet<string | null> = new Set();

  constructor(url: string) {
    this.#client = new ShopClient(url);
    this.#watching = this.#watch();
  }

  holds(orderId: string): boolean {
    return this.#orders.has(orderId);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#left.abort();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    while (!this.#left.signal.aborted) {
      const letters = await this.#client.deadLetters();
      this.#orders = new Set(letters.map(({ orderId }) => orderId));
      await sleep(timers, 500, this.#left.signal).catch(() => undefined);
    }
  }
}

export interface Balance {
  readonly accepted: number;
  readonly ends: Readonly<Record<End, number>>;
  readonly balances: boolean;
}

export function balanceOf(accounts: readonly Account[]): Balance {
  const ends = { completed: 0, rejected: 0, cancelled: 0, dead: 0, stuck: 0 };
  for (const { end } of accounts) ends[end] += 1;
  const accepted = new Set(accounts.map(({ plan }) => plan.orderId)).size;
  const { completed, rejected, cancelled, dead } = ends;
  return { accepted, ends, balances: accepted === completed + rejected + cancelled + dead };
}

export function describeBalance({ accepted, ends, balances }: Balance): string {
  const { completed, rejected, cancelled, dead, stuck } = ends;
  const sum = `${completed} completed + ${rejected} rejected + ${cancelled} cancelled + ${dead} dead`;
  return `${accepted} accepted ${balances ? "=" : "≠"} ${sum}${stuck === 0 ? "" : `   (${stuck} never ended)`}`;
}
