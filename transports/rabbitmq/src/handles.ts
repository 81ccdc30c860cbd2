/**
 * A handle ends with its sender's id, which the message keeps when it is retried, set aside and put back; of an item of a stream, which can be
 * set aside more than once, with that of the copy. Ids are of any characters, so an address ends where the first bar stands.
 */

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
