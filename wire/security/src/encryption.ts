import { createSecretKey } from "node:crypto";
import {
  type Arrival,
  type Body,
  type Departure,
  WaybillError,
  type WireTransform,
} from "@waybill/core";
import { CompactEncrypt, compactDecrypt, decodeProtectedHeader } from "jose";
import { type Key, KeyRing, valid } from "./keys.ts";

export interface EncryptionOptions {
  /** Encrypts: a secret of 32 bytes. */
  readonly current: Key;
  /** Only decrypt: those that were current, and the one that will be. */
  readonly others?: readonly Key[];
  /** Whether bodies that came unencrypted are refused. Default true; false while a system is changed over. */
  readonly required?: boolean;
}

const encoding = "jwe";
const purpose = "encryption()";
/** Each message gets a content key of its own, wrapped by the shared one, so that no key ever encrypts two messages. */
const algorithm = "A256KW";
const contentEncryption = "A256GCM";
const keyBytes = 32;

interface ProtectedHeader {
  readonly alg?: unknown;
  readonly enc?: unknown;
  readonly kid?: unknown;
  readonly id?: unknown;
  readonly typ?: unknown;
  readonly to?: unknown;
}

/**
 * Encrypts every body as a compact JWE (RFC 7516): A256KW and A256GCM, nothing else is read. The ciphertext is bound to the message's
 * id, type and destination, so it opens in no other message. Headers, attributes and keys of streams stay readable: brokers and rules need
 * them.
 *
 * Errors: UNAUTHORISED for an unknown or expired key, another algorithm, a body that was changed or belongs to another message;
 * OPTION_INVALID.
 *
 * @example
 * encryption({ current: { kid: "2030-02", key: february }, others: [{ kid: "2030-01", key: january }] })
 */
export function encryption(options: EncryptionOptions): WireTransform {
  const { required = true } = options;
  const current = toSecret(options.current);
  const ring = new KeyRing(purpose, [current, ...(options.others ?? []).map(toSecret)]);
  return {
    name: "encryption",
    encodings: [encoding],
    required,
    seal: async (body, departure) => ({ body: await seal(body, departure, current), encoding }),
    open: async (body, arrival) => open(body, arrival, ring),
  };
}

async function seal(
  body: Body,
  { header, destination, environment }: Departure,
  current: Key,
): Promise<string> {
  const { key, kid } = valid(current, { purpose, type: header.type, environment });
  const plain = typeof body === "string" ? Buffer.from(body) : body;
  return new CompactEncrypt(plain)
    .setProtectedHeader({
      alg: algorithm,
      enc: contentEncryption,
      kid,
      id: header.id,
      typ: header.type,
      to: destination,
    })
    .encrypt(key);
}

async function open(
  body: Body,
  { header, destination, environment }: Arrival,
  ring: KeyRing<Key>,
): Promise<Body> {
  const { type } = header;
  const token = typeof body === "string" ? body : Buffer.from(body).toString("latin1");
  const claimed = protectedHeader(token, type);
  if (claimed.alg !== algorithm || claimed.enc !== contentEncryption)
    throw new WaybillError(
      "UNAUTHORISED",
      `"${type}" is encrypted by another algorithm than ${algorithm} with ${contentEncryption}, which is the only one that is opened.`,
    );
  const { key } = ring.find(claimed.kid, type, environment);
  let plaintext;
  try {
    ({ plaintext } = await compactDecrypt(token, key, {
      keyManagementAlgorithms: [algorithm],
      contentEncryptionAlgorithms: [contentEncryption],
    }));
  } catch (cause) {
    throw new WaybillError(
      "UNAUTHORISED",
      `The body of "${type}" does not open with the key "${String(claimed.kid)}": it was changed on its way, or sealed with another key of that name.`,
      { cause },
    );
  }
  if (claimed.id !== header.id || claimed.typ !== type || claimed.to !== destination)
    throw new WaybillError(
      "UNAUTHORISED",
      `The encrypted body of "${type}" belongs to another message: its id, type or destination differs from the header's.`,
    );
  return plaintext;
}

function protectedHeader(token: string, type: string): ProtectedHeader {
  try {
    return decodeProtectedHeader(token);
  } catch (cause) {
    throw new WaybillError(
      "UNAUTHORISED",
      `The body of "${type}" says that it is encrypted and is no JWE: it was cut or changed on its way.`,
      { cause },
    );
  }
}

function toSecret(given: Key): Key {
  const key = given.key instanceof Uint8Array ? createSecretKey(given.key) : given.key;
  if (key.type === "secret" && key.symmetricKeySize === keyBytes) return { ...given, key };
  throw new WaybillError(
    "OPTION_INVALID",
    `The key "${given.kid}" of encryption() must be a secret of ${keyBytes} bytes, as crypto.randomBytes(${keyBytes}) gives.`,
  );
}
