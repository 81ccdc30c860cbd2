/** Where messages lie that can be looked at. */
export type AsideState = "dead" | "deferred";

export const asideStates: readonly AsideState[] = ["dead", "deferred"];

/** The name of a message at an address: its sender's id, which it keeps when it is retried, set aside and put back. */
export function handleOf(address: string, id: string): string {
  return `${address}|${id}`;
}

/** Undefined for what is no handle. */
export function addressIn(handle: string): string | undefined {
  const end = handle.indexOf("|");
  return end < 1 ? undefined : handle.slice(0, end);
}

/** Handles by their address; what is no handle is left out. */
export function byAddress(handles: readonly string[]): ReadonlyMap<string, Set<string>> {
  const groups = new Map<string, Set<string>>();
  for (const handle of handles) {
    const address = addressIn(handle);
    if (address === undefined) continue;
    groups.set(address, (groups.get(address) ?? new Set()).add(handle));
  }
  return groups;
}
