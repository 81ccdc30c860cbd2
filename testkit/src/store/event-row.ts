import type { EventRow, Store, StreamKey } from "@waybill/core";

export const decider = "bank";
/** The stream of which most cases are. */
export const key: StreamKey = { decider, key: "a-1" };
export const fingerprint = "f-1";

/** An event of it. */
export function rowOf(version: number, more: Partial<EventRow> = {}): EventRow {
  return {
    ...key,
    version,
    id: `id-${version}`,
    type: "bank.deposited",
    contractVersion: 2,
    time: 1_900_000_000_000 + version,
    body: `{"cents":${version}}`,
    metadata: "{}",
    ...more,
  };
}

export async function append(store: Store, ...rows: readonly EventRow[]): Promise<boolean> {
  return store.transaction(({ events }) => events.append(rows));
}

/** Those that stand there. */
export async function versions(store: Store, name = "a-1"): Promise<readonly number[]> {
  const rows = await store.events.read({ decider, key: name }, { after: 0, limit: 1_000 });
  return rows.map(({ version }) => version);
}
