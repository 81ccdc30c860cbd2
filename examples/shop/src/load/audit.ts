import { type BusOf, WaybillError, connect, service, sleep, systemEnvironment } from "waybill";
import { ListStock, type Stock } from "../contracts/inventory.ts";
import { GetTakings } from "../contracts/payment.ts";
import { CountParcels } from "../contracts/shipping.ts";
import { type Place, transportOf } from "../transport.ts";
import type { Account } from "./customer.ts";

/** A script that only asks is a service without handlers. */
const auditor = service("auditor", { asks: [ListStock, GetTakings, CountParcels] });

type AuditorBus = BusOf<typeof auditor>;

const patienceMs = 60_000;

/**
 * Holds the books of the services against what the customers saw: stock, money and parcels must fit to the order, so nothing was
 * lost and nothing happened twice. Answers what does not fit. What follows from a cancelled order may take its time.
 */
export async function audit(
  place: Place,
  accounts: readonly Account[],
): Promise<readonly string[]> {
  await using bus = await connect({ transport: transportOf(place), services: [auditor] });
  const { clock, timers } = systemEnvironment;
  const endsAt = clock.monotonic() + patienceMs;
  for (;;) {
    const isLast = clock.monotonic() > endsAt;
    // A service that was just killed may still be away, and its queue with it.
    const faults = await compare(bus, accounts).catch((error: unknown) => {
      if (isLast) throw error;
      return undefined;
    });
    if (faults !== undefined && (faults.length === 0 || isLast)) return faults;
    await sleep(timers, 500);
  }
}

export interface Books {
  readonly balanced: boolean;
  readonly lines: readonly string[];
}

/** What the broker itself has counted: one line for each address to which something came. Undefined for a broker that keeps no such books. */
export async function readBooks(place: Place): Promise<Books | undefined> {
  await using bus = await connect({ transport: transportOf(place), services: [auditor] });
  const ledger = await bus.ledger().catch((error: unknown) => {
    if (error instanceof WaybillError && error.code === "NOT_SUPPORTED") return undefined;
    throw error;
  });
  if (ledger === undefined) return undefined;
  const { balanced, entries } = ledger;
  const used = entries.filter(({ accepted, difference }) => accepted > 0 || difference !== 0);
  return { balanced, lines: used.map(({ address, text }) => `${address}: ${text}`) };
}

async function compare(bus: AuditorBus, accounts: readonly Account[]): Promise<readonly string[]> {
  const completed = accounts.filter(({ end }) => end === "completed");
  const cents = completed.reduce((sum, { totalCents }) => sum + totalCents, 0);
  const takings = await bus.ask(GetTakings, {});
  const { parcels } = await bus.ask(CountParcels, {});
  return [
    ...differs("payments taken", takings.payments, completed.length),
    ...differs("cents taken", takings.cents, cents),
    ...differs("parcels sent", parcels, completed.length),
    ...(await bus.ask(ListStock, {})).flatMap((stock) => compareStock(stock, accounts)),
  ];
}

/** Held is what was sold, and what a dead order still claims. */
function compareStock({ sku, held }: Stock, accounts: readonly Account[]): readonly string[] {
  const claimed = accounts
    .filter(({ plan, end }) => plan.sku === sku && (end === "completed" || end === "dead"))
    .reduce((sum, { plan }) => sum + plan.quantity, 0);
  return differs(`${sku} held`, held, claimed);
}

function differs(what: string, found: number, expected: number): readonly string[] {
  return found === expected ? [] : [`${what}: ${found}, by the orders ${expected}`];
}
