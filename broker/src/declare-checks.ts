import { checkForwarding, type QueueSpec, type Topology, WaybillError } from "@waybill/core";
import { settingsOf } from "./addresses.ts";
import { Refusal, type Transaction } from "./storage/transaction.ts";

interface OwnerRow {
  readonly instance: number;
  readonly service: string;
  readonly place: string;
  readonly until: number | null;
}

/** Throws Refusal with OWNED_TWICE. */
export function refuseSecondOwner(
  { sql, addresses, lockNow }: Transaction,
  { name, owner }: QueueSpec,
  instance: number,
): void {
  const address = addresses.find("queue", name);
  if (owner === undefined || address === undefined) return;
  for (const other of sql.ownersOf.all(address.id) as unknown as OwnerRow[]) {
    const isAlive = other.instance === instance || (other.until !== null && other.until > lockNow);
    if (!isAlive || other.service === owner.service) continue;
    throw new Refusal(
      new WaybillError(
        "OWNED_TWICE",
        `"${name}" is handled by the service "${other.service}" (${other.place}), which is running, and by "${owner.service}" (${owner.place}). A command has one owner: remove one of the handlers, or publish an event.`,
        {
          details: {
            queue: name,
            owners: [
              { service: other.service, place: other.place },
              { service: owner.service, place: owner.place },
            ],
          },
        },
      ),
    );
  }
}

/** Throws Refusal with WIRING_INVALID. */
export function refuseBadForwarding({ addresses }: Transaction, topology: Topology): void {
  try {
    checkForwarding(topology, () => [...addresses.all()].map(settingsOf));
  } catch (error) {
    throw new Refusal(error as WaybillError);
  }
}
