import { at } from "../wiring/faults.ts";
import type { StoreFactory } from "../ports/store.ts";
import type { Service } from "../service.ts";
import type { Uses } from "../wiring/uses.ts";

/** What a service with a store cannot do, each a sentence. */
export function storeFaults(service: Service): readonly string[] {
  const { store } = service.uses as Uses;
  if (store === undefined) return [];
  // JavaScript may give anything.
  if (typeof (store as Partial<StoreFactory> | null)?.open !== "function")
    return [
      `Service "${service.name}" names a store that is none; give what sqlite() or postgres() makes.`,
    ];
  return service.bindings.flatMap(({ verb, contract, batch, options, place }) => {
    const where = `${verb}("${contract.name}") of service "${service.name}"${at(place)}`;
    if (batch !== undefined)
      return [
        `${where} takes batches, and the service has a store, whose transactions are of one message each. Bind it with ${verb}(), or in a service without a store.`,
      ];
    if (options.state !== undefined)
      return [
        `${where} keeps state with the broker, and the service has a store, which is committed before it. Keep the state in a table of the store.`,
      ];
    return [];
  });
}
