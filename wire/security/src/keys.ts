import type { KeyObject } from "node:crypto";
import { type Environment, WaybillError } from "@waybill/core";

/** A key and the name under which messages mention it. */
export interface Key {
  /** 1 to 100 letters, digits, dots, dashes and underscores. Never give one name to two keys. */
  readonly kid: string;
  /** From node:crypto (`createSecretKey`, `createPrivateKey`, `createPublicKey`), or the bytes of a secret. */
  readonly key: KeyObject | Uint8Array;
  /** From this moment on nothing is sealed with it and nothing that it sealed is opened. Default: never. */
  readonly expiresAt?: Date;
}

const kidForm = /^[A-Za-z0-9._-]{1,100}$/;
const keysMax = 100;

/** Keys by name. */
export class KeyRing<K extends Key> {
  readonly #keys: ReadonlyMap<string, K>;
  readonly #purpose: string;

  /** Throws OPTION_INVALID. */
  constructor(purpose: string, keys: readonly K[]) {
    this.#purpose = purpose;
    this.#keys = new Map(keys.map((key) => [key.kid, key]));
    const fault = (text: string): WaybillError => new WaybillError("OPTION_INVALID", text);
    if (keys.length > keysMax)
      throw fault(`${purpose} has ${keys.length} keys; give at most ${keysMax}.`);
    for (const { kid, expiresAt } of keys) {
      if (!kidForm.test(kid))
        throw fault(
          `The kid "${kid}" of ${purpose} is not legal: letters, digits, ".", "-" and "_", at most 100.`,
        );
      if (expiresAt !== undefined && Number.isNaN(expiresAt.getTime()))
        throw fault(`expiresAt of the key "${kid}" of ${purpose} is no date.`);
    }
    if (this.#keys.size < keys.length)
      throw fault(`Two keys of ${purpose} have one kid; give each its own.`);
  }

  /** The key that a message names. Throws UNAUTHORISED when it is not here or has expired. */
  find(kid: unknown, type: string, environment: Environment): K {
    const key = typeof kid === "string" ? this.#keys.get(kid) : undefined;
    if (key === undefined)
      throw new WaybillError(
        "UNAUTHORISED",
        `"${type}" names the key ${kidText(kid)}, which ${this.#purpose} of this bus does not have. After a rotation, give receivers the new key before senders.`,
      );
    return valid(key, { purpose: this.#purpose, type, environment });
  }
}

/** The key itself while it is good. Throws UNAUTHORISED when it has expired. */
export function valid<K extends Key>(
  key: K,
  { purpose, type, environment }: { purpose: string; type: string; environment: Environment },
): K {
  if (key.expiresAt === undefined || environment.clock.now() < key.expiresAt.getTime()) return key;
  throw new WaybillError(
    "UNAUTHORISED",
    `The key "${key.kid}" of ${purpose}, which "${type}" needs, expired at ${key.expiresAt.toISOString()}. Seal with a newer one; keep an old one until what it sealed is handled.`,
  );
}

/** What a stranger wrote is shown short. */
export function kidText(kid: unknown): string {
  return typeof kid === "string" ? `"${kid.slice(0, 100)}"` : "none";
}
