import {
  type Acceptance,
  type Forwarding,
  type KnownTopology,
  type Topology,
  type WaybillError,
  addressOf,
  discrepanciesOf,
  permanentPart,
  refuseDiscrepancies,
} from "@waybill/core";
import type { Address, AddressKind } from "./addresses.ts";
import { Refusal, type Transaction } from "./storage/transaction.ts";

interface StreamRow {
  readonly partitions: number;
  readonly age_ms: number | null;
  readonly bytes_max: number | null;
}

/** Throws Refusal with what is missing in the file, or otherwise. */
export function refuseWhatIsNotThere(transaction: Transaction, topology: Topology): void {
  try {
    refuseDiscrepancies(
      "embedded",
      discrepanciesOf(permanentPart(topology), knownTopology(transaction)),
    );
  } catch (error) {
    throw new Refusal(error as WaybillError);
  }
}

function knownTopology({ sql, addresses }: Transaction): KnownTopology {
  const find = (kind: AddressKind, name: string): Address | undefined => addresses.find(kind, name);
  return {
    queue: (name) => {
      const address = find("queue", name);
      return address && { name, dedupWindowMs: address.dedupMs, ...settingsOf(address) };
    },
    topic: (name) => {
      const address = find("topic", `${name}/`);
      return address && { name, dedupWindowMs: address.dedupMs };
    },
    subscription: (topic, name) => {
      const full = addressOf({ kind: "subscription", topic, name });
      const address = find("subscription", full);
      if (address === undefined) return undefined;
      const row = sql.addressByName.get("subscription", full) as { readonly accepts: string };
      const accepts = JSON.parse(row.accepts) as readonly Acceptance[];
      return { topic, name, accepts, ...settingsOf(address) };
    },
    stream: (name) => {
      const row = sql.streamByName.get(name) as StreamRow | undefined;
      if (row === undefined) return undefined;
      const { partitions, age_ms: ageMs, bytes_max: bytes } = row;
      const retention = {
        ...(ageMs !== null && { ageMs }),
        ...(bytes !== null && { bytes }),
      };
      return { name, partitions, retention };
    },
  };
}

function settingsOf({
  keepsSessions,
  forwardsTo,
  deadLettersTo,
}: Address): Forwarding & { readonly sessions: boolean } {
  return {
    sessions: keepsSessions,
    forwardTo: forwardsTo ?? false,
    forwardDeadLettersTo: deadLettersTo ?? false,
  };
}
