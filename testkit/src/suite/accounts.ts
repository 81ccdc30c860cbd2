import assert from "node:assert/strict";
import { type LedgerEntry, type Transport, equationOf } from "@waybill/core";

export async function entryOf({ inspection }: Transport, address: string): Promise<LedgerEntry> {
  const entry = (await inspection.ledger()).find((each) => each.address === address);
  if (entry === undefined) throw new Error(`the ledger has no "${address}"`);
  return entry;
}

/** Holds an address against its equation; and every address balances. */
export async function assertBooked(
  transport: Transport,
  address: string,
  equation: string,
): Promise<void> {
  assert.equal(equationOf(await entryOf(transport, address)), equation);
  await assertBalanced(transport);
}

export async function assertBalanced({ inspection }: Transport): Promise<void> {
  for (const entry of await inspection.ledger()) {
    const { address, difference, balanced } = entry;
    assert.equal(difference, 0, `the books of ${address} miss ${difference}: ${equationOf(entry)}`);
    assert.equal(balanced, true);
    for (const each of entry.types)
      assert.equal(
        each.difference,
        0,
        `the books of ${each.type} at ${address} miss ${each.difference}: ${equationOf(each)}`,
      );
  }
}
