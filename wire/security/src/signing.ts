import { KeyObject, createPublicKey, createSecretKey } from "node:crypto";
import {
  type Arrival,
  type Body,
  type Departure,
  type Header,
  type Sealed,
  WaybillError,
  type WireTransform,
} from "@waybill/core";
import { FlattenedSign, compactVerify, decodeProtectedHeader } from "jose";
import { type Key, KeyRing, kidText, valid } from "./keys.ts";
import { ReplayGuard, type ReplayMemory, replayMemory } from "./replay.ts";
import { signedText } from "./signed-text.ts";

/** `HS256` shares one secret of at least 32 bytes; `EdDSA` and `ES256` sign with a private key and check with a public one. */
export type SigningAlgorithm = "HS256" | "EdDSA" | "ES256";

export interface TrustedKey extends Key {
  /** Services that may sign with it, as `header.source` writes them: `/services/ordering`. Default: any. */
  readonly sources?: readonly string[];
}

export interface SigningOptions {
  /** The one algorithm that is written and read. */
  readonly algorithm: SigningAlgorithm;
  /** Signs: a secret or a private key. What it signs is trusted here, too. */
  readonly current: Key;
  /** Only check: secrets or public keys of other services, those that were current, and the one that will be. */
  readonly trusted?: readonly TrustedKey[];
  /** Whether messages that came unsigned are refused. Default true; false while a system is changed over. */
  readonly required?: boolean;
  readonly replay?: ReplayOptions;
}

export interface ReplayOptions {
  /** How old a message may be, in milliseconds, one second to ten years: its delay, its waiting and its time among the dead letters included. Default 30 days. */
  readonly ageMsMax?: number;
  /** How far the sender's clock may be ahead, in milliseconds, 0 to one day. Default 60,000. */
  readonly skewMs?: number;
  /** How many handled messages the process remembers, 1 to 10,000,000. Default 100,000. */
  readonly rememberedMax?: number;
  /** In place of the process's own memory. */
  readonly memory?: ReplayMemory;
}

const encoding = "jws";
const purpose = "signing()";
const signatureTextMax = 8_192;
/** Protected header, no payload, signature: the body's hash is in the text that is signed. */
const detachedForm = /^([A-Za-z0-9_-]+)\.\.([A-Za-z0-9_-]+)$/;
const sealingForm = /^[\x21-\x7e]{1,100}$/;
const dayMs = 86_400_000;

/**
 * Signs every message with a detached JWS (RFC 7515) over id, type, source, time, destination, body and what else says what it is for; the body stays
 * readable to who does not check. Put it last in the wire, so that it covers what is sent. Refuses copies of messages that were handled.
 *
 * Errors, all UNAUTHORISED: unsigned, changed, signed for another destination, by an unknown or expired key, by another algorithm, by a key of another
 * service, too old, from the future, a copy. OPTION_INVALID for options.
 *
 * @example
 * signing({ algorithm: "EdDSA", current: { kid: "ordering-2", key: ownPrivate }, trusted: [{ kid: "billing-7", key: billingPublic, sources: ["/services/billing"] }] })
 */
export function signing(options: SigningOptions): WireTransform {
  const { algorithm, required = true } = options;
  const replay = checkReplay(options.replay ?? {});
  const current = { ...options.current, key: toSigningKey(options.current, algorithm) };
  const trusted = (options.trusted ?? []).map((each) => ({
    ...each,
    key: toCheckingKey(each, algorithm),
  }));
  const own: TrustedKey = { ...current, key: toCheckingKey(current, algorithm) };
  const ring = new KeyRing<TrustedKey>(purpose, [own, ...trusted]);
  const guard = new ReplayGuard(replay.memory);
  return {
    name: "signing",
    encodings: [encoding],
    required,
    seal: (body, departure) => seal(body, departure, { algorithm, current }),
    open: async (body, arrival) => {
      const sealing = await verify(body, arrival, { algorithm, ring });
      const until = checkTime(arrival, replay);
      if (arrival.delivery !== undefined)
        await guard.admit(arrival.delivery, {
          id: sealing,
          type: arrival.header.type,
          until,
          logger: arrival.logger,
        });
      return body;
    },
  };
}

async function seal(
  body: Body,
  departure: Departure,
  { algorithm, current }: { algorithm: SigningAlgorithm; current: Key },
): Promise<Sealed> {
  const { header, environment } = departure;
  const { key, kid } = valid(current, { purpose, type: header.type, environment });
  const signed = await new FlattenedSign(Buffer.from(signedText(body, departure)))
    // Each sealing has an id of its own: who sends the same message twice on purpose sends no copy.
    .setProtectedHeader({ alg: algorithm, kid, jti: environment.id() })
    .sign(key);
  return { body, encoding, signature: `${signed.protected}..${signed.signature}` };
}

/** Answers the id of the sealing. */
async function verify(
  body: Body,
  arrival: Arrival,
  { algorithm, ring }: { algorithm: SigningAlgorithm; ring: KeyRing<TrustedKey> },
): Promise<string> {
  const { header, environment } = arrival;
  const { type, source } = header;
  const { head, tail } = detached(header);
  const claimed = readHead(head, type);
  // Before a key is looked at: the algorithm is ours to choose, never the message's.
  if (claimed.alg !== algorithm)
    throw new WaybillError(
      "UNAUTHORISED",
      `"${type}" is signed by the algorithm ${kidText(claimed.alg)}; only ${algorithm} is accepted.`,
    );
  const { key, kid, sources } = ring.find(claimed.kid, type, environment);
  const payload = Buffer.from(signedText(body, arrival)).toString("base64url");
  try {
    await compactVerify(`${head}.${payload}.${tail}`, key, { algorithms: [algorithm] });
  } catch (cause) {
    throw new WaybillError(
      "UNAUTHORISED",
      `The signature of "${type}" does not fit: its header or body was changed, it was signed for another destination than ${arrival.destination}, or with another key than "${kid}".`,
      { cause },
    );
  }
  if (sources !== undefined && !sources.includes(source))
    throw new WaybillError(
      "UNAUTHORISED",
      `"${type}" says that it is from ${source}, and is signed with the key "${kid}" of ${sources.join(", ")}.`,
    );
  if (typeof claimed.jti !== "string" || !sealingForm.test(claimed.jti))
    throw new WaybillError("UNAUTHORISED", `The signature of "${type}" has no id (jti).`);
  return claimed.jti;
}

function detached({ signature, type }: Header): { head: string; tail: string } {
  const text: unknown = signature;
  const parts =
    typeof text === "string" && text.length <= signatureTextMax ? detachedForm.exec(text) : null;
  const [, head, tail] = parts ?? [];
  if (head !== undefined && tail !== undefined) return { head, tail };
  throw new WaybillError(
    "UNAUTHORISED",
    `"${type}" says that it is signed, and its signature is no detached JWS.`,
  );
}

function readHead(
  head: string,
  type: string,
): { readonly alg?: unknown; readonly kid?: unknown; readonly jti?: unknown } {
  try {
    return decodeProtectedHeader(`${head}..`);
  } catch (cause) {
    throw new WaybillError(
      "UNAUTHORISED",
      `"${type}" says that it is signed, and its signature is no detached JWS.`,
      { cause },
    );
  }
}

/** Answers until when the message would be accepted. */
function checkTime({ header, environment }: Arrival, { ageMsMax, skewMs }: Checked): number {
  const { type, time } = header;
  const at = Date.parse(time);
  const now = environment.clock.now();
  if (!(at <= now + skewMs))
    throw new WaybillError(
      "UNAUTHORISED",
      `"${type}" was signed at ${time}, which is more than ${skewMs} ms in the future. Set the clocks of sender and receiver, or raise signing({ replay: { skewMs } }).`,
    );
  if (at + ageMsMax < now)
    throw new WaybillError(
      "UNAUTHORISED",
      `"${type}" was signed at ${time}, more than ${ageMsMax} ms ago. If messages may wait so long, raise signing({ replay: { ageMsMax } }).`,
    );
  return at + ageMsMax;
}

interface Checked {
  readonly ageMsMax: number;
  readonly skewMs: number;
  readonly memory: ReplayMemory;
}

function checkReplay(replay: ReplayOptions): Checked {
  const { ageMsMax = 30 * dayMs, skewMs = 60_000, rememberedMax = 100_000 } = replay;
  const bounds: readonly (readonly [string, number, number, number])[] = [
    ["ageMsMax", ageMsMax, 1_000, 3_650 * dayMs],
    ["skewMs", skewMs, 0, dayMs],
    ["rememberedMax", rememberedMax, 1, 10_000_000],
  ];
  for (const [option, value, least, most] of bounds) {
    if (Number.isInteger(value) && value >= least && value <= most) continue;
    throw new WaybillError(
      "OPTION_INVALID",
      `signing({ replay: { ${option} } }) is ${String(value)}; give a whole number from ${least} to ${most}.`,
    );
  }
  return { ageMsMax, skewMs, memory: replay.memory ?? replayMemory(rememberedMax) };
}

const secretBytesMin = 32;
const asymmetric: Readonly<Record<string, string>> = { EdDSA: "ed25519", ES256: "ec" };

function toSigningKey({ key, kid }: Key, algorithm: SigningAlgorithm): KeyObject {
  const object = toObject(key);
  const right = algorithm === "HS256" ? isSecret(object) : isPair(object, "private", algorithm);
  if (right) return object;
  throw wrongKey(kid, algorithm, algorithm === "HS256" ? "" : "private ");
}

function toCheckingKey({ key, kid }: Key, algorithm: SigningAlgorithm): KeyObject {
  const object = toObject(key);
  if (algorithm === "HS256" && isSecret(object)) return object;
  if (algorithm !== "HS256") {
    if (isPair(object, "private", algorithm)) return createPublicKey(object);
    if (isPair(object, "public", algorithm)) return object;
  }
  throw wrongKey(kid, algorithm, algorithm === "HS256" ? "" : "public ");
}

function toObject(key: Key["key"]): KeyObject {
  return key instanceof KeyObject ? key : createSecretKey(key);
}

function isSecret({ type, symmetricKeySize = 0 }: KeyObject): boolean {
  return type === "secret" && symmetricKeySize >= secretBytesMin;
}

function isPair(key: KeyObject, type: "private" | "public", algorithm: SigningAlgorithm): boolean {
  if (key.type !== type || key.asymmetricKeyType !== asymmetric[algorithm]) return false;
  return algorithm !== "ES256" || key.asymmetricKeyDetails?.namedCurve === "prime256v1";
}

function wrongKey(kid: string, algorithm: SigningAlgorithm, kind: string): WaybillError {
  const wanted =
    algorithm === "HS256"
      ? `a secret of at least ${secretBytesMin} bytes`
      : `a ${kind}key of type ${algorithm === "EdDSA" ? "Ed25519" : "P-256"}`;
  return new WaybillError(
    "OPTION_INVALID",
    `The key "${kid}" of signing({ algorithm: "${algorithm}" }) must be ${wanted}.`,
  );
}
