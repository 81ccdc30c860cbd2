import { type LedgerEntry, equationOf } from "../ports/transport.ts";
import type { Runtime } from "../runtime.ts";
import { type Broker, brokerName } from "../split/homes.ts";

/** What came to every address and what became of it. */
export interface Ledger {
  /** Whether every entry is. */
  readonly balanced: boolean;
  readonly entries: readonly LedgerLine[];
  /** Brokers of the bus that keep no books, where others do: nothing is said of what is there. */
  readonly without: readonly string[];
}

export interface LedgerLine extends LedgerEntry {
  /** The subscription or the group; undefined for a queue, a topic or a log. */
  readonly subscriber: string | undefined;
  /** As a sum in words: `6 = completed 2 + dead 1 + purged 1 + ready 2`. */
  readonly text: string;
}

/** Rejects with NOT_SUPPORTED where the broker keeps no such counts. */
export async function readLedger({
  transport,
  brokers,
}: Pick<Runtime, "transport" | "brokers">): Promise<Ledger> {
  const entries = await transport.inspection.ledger();
  return {
    balanced: entries.every(({ balanced }) => balanced),
    entries: entries.map((entry) => ({
      ...entry,
      subscriber: subscriberOf(entry),
      text: equationOf(entry),
    })),
    without: brokers.filter((broker) => !keepsBooks(broker)).map(brokerName),
  };
}

function keepsBooks({ transport }: Broker): boolean {
  return transport.capabilities.conservation !== "none";
}

function subscriberOf({ kind, address }: LedgerEntry): string | undefined {
  if (kind === "subscription") return address.slice(address.indexOf("/") + 1);
  return kind === "stream" ? address.slice(address.indexOf("@") + 1) : undefined;
}
