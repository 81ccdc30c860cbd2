import type { AddressSettings } from "../ports/inspection.ts";

/** Of a broker that keeps no pauses and no forwards. */
export function plainSettings({
  address,
  kind,
  temporary = false,
}: Pick<AddressSettings, "address" | "kind"> & Partial<AddressSettings>): AddressSettings {
  return {
    address,
    kind,
    temporary,
    paused: undefined,
    forwardsTo: undefined,
    deadLettersTo: undefined,
  };
}

/** For `toSorted`. */
export function byAddress(
  { address: one }: Pick<AddressSettings, "address">,
  { address: other }: Pick<AddressSettings, "address">,
): number {
  return one < other ? -1 : 1;
}
