import type { Codec } from "../codec.ts";
import { type Envelope, type Header, versionOf } from "../envelope.ts";
import { WaybillError, messageOf } from "../errors.ts";
import type { IncomingStep } from "../handling/pipeline.ts";
import type { AnyContract } from "../wiring/uses.ts";
import { plainBody } from "../wire/wire.ts";

/** Body → value of the contract's present version. Errors: DECODE_FAILED, VERSION_UNKNOWN. */
export const decode: IncomingStep = {
  name: "decode",
  wrap: (next, { contract }, { codec }) => {
    return (message) => {
      try {
        message.value = readBody(message.envelope, contract, codec);
      } catch (error) {
        // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- passed on as it came
        return Promise.reject(error);
      }
      return next(message);
    };
  },
};

/** What the body says in the contract's present version, not yet validated. Throws DECODE_FAILED or VERSION_UNKNOWN. */
export function readBody(envelope: Envelope, contract: AnyContract, codec: Codec): unknown {
  const { header } = envelope;
  const body = plainBody(envelope);
  let value: unknown;
  try {
    value = codec.decode(body);
  } catch (cause) {
    const text = `The body of "${header.type}" is not readable as ${codec.contentType}: ${messageOf(cause)}. Its content type says ${header.datacontenttype}.`;
    throw new WaybillError("DECODE_FAILED", text, { cause });
  }
  const version = versionOf(header);
  return version === contract.version ? value : upcast(value, { contract, version, header });
}

/** What was written in an older version of the contract, in the present one. Throws DECODE_FAILED or VERSION_UNKNOWN. */
export function upcast(
  value: unknown,
  read: { contract: AnyContract; version: number; header?: Header },
): unknown {
  const { contract, version, header } = read;
  if (version === contract.version) return value;
  if (!(version < contract.version)) {
    throw new WaybillError(
      "VERSION_UNKNOWN",
      `"${contract.name}" came with ${header === undefined ? `version ${version}` : `schema ${header.dataschema ?? "none"}`}; this service knows versions up to ${contract.version}. Deploy the newer service, then replay the message.`,
    );
  }
  let current = value;
  for (let from = version; from < contract.version; from++) {
    try {
      current = contract.upcasters[from]?.(current);
    } catch (error) {
      throw new WaybillError(
        "DECODE_FAILED",
        `The upcaster of "${contract.name}" from version ${from} failed: ${messageOf(error)}.`,
        { cause: error },
      );
    }
  }
  return current;
}
