/** Where messages lie that can be looked at. */
export type AsideState = "dead" | "deferred";

export const asideStates: readonly AsideState[] = ["dead", "deferred"];

export interface Handle {
  readonly address: string;
  /** Names the message among those of its address. */
  readonly token: string;
}

const tokenPattern = /^[A-Za-z0-9-]{1,80}$/;

/** The name of a message at an address, which it keeps when it is retried and set aside. */
export function handleOf(address: string, token: string | number): string {
  return `${address}|${token}`;
}

/** Undefined for what is no handle. */
export function readHandle(handle: string): Handle | undefined {
  const end = handle.lastIndexOf("|");
  const token = handle.slice(end + 1);
  return end < 1 || !tokenPattern.test(token)
    ? undefined
    : { address: handle.slice(0, end), token };
}
