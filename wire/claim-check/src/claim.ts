import { type Body, WaybillError } from "@waybill/core";
import { isObjectName } from "./object-store.ts";

/** What stands in a message instead of its body. */
export interface Claim {
  readonly object: string;
  readonly bytes: number;
  /** Of the bytes, base64url. */
  readonly sha256: string;
}

const claimTextMax = 1_000;
const hashForm = /^[A-Za-z0-9_-]{43}$/;

export function writeClaim({ object, bytes, sha256 }: Claim): string {
  return JSON.stringify({ object, bytes, sha256 });
}

/** What came off the wire is data, so every field is checked. Throws DECODE_FAILED. */
export function readClaim(body: Body, type: string): Claim {
  let claim: Partial<Record<keyof Claim, unknown>> = {};
  if (body.length <= claimTextMax) {
    try {
      claim = Object(
        JSON.parse(typeof body === "string" ? body : new TextDecoder().decode(body)),
      ) as typeof claim;
    } catch {
      // Told below, with all else that is no claim.
    }
  }
  const { object, bytes, sha256 } = claim;
  if (
    isObjectName(object) &&
    Number.isSafeInteger(bytes) &&
    (bytes as number) > 0 &&
    typeof sha256 === "string" &&
    hashForm.test(sha256)
  )
    return { object, bytes: bytes as number, sha256 };
  throw new WaybillError(
    "DECODE_FAILED",
    `The body of "${type}" is no claim check: it needs the legal name of an object, its bytes and its sha256.`,
  );
}
