import { type Header, versionOf } from "../envelope.ts";
import { WaybillError, messageOf } from "../errors.ts";
import type { IncomingStep } from "../pipeline.ts";
import type { AnyContract } from "../uses.ts";

/** Body → value of the contract's present version. Errors: DECODE_FAILED, VERSION_UNKNOWN. */
export const decode: IncomingStep = {
  name: "decode",
  wrap: (next, { contract }, { codec }) => {
    return (message) => {
      const { header, body } = message.envelope;
      try {
        message.value = codec.decode(body);
      } catch (error) {
        return Promise.reject(
          new WaybillError("DECODE_FAILED", `The body of "${header.type}" is not readable as ${codec.contentType}: ${messageOf(error)}. Its content type says ${header.datacontenttype}.`, { cause: error }),
        );
      }
      const version = versionOf(header);
      if (version === contract.version) return next(message);
      try {
        message.value = upcast(message.value, { contract, version, header });
      } catch (error) {
        return Promise.reject(error as Error);
      }
      return next(message);
    };
  },
};

function upcast(value: unknown, read: { contract: AnyContract; version: number; header: Header }): unknown {
  const { contract, version, header } = read;
  if (!(version < contract.version)) {
    throw new WaybillError(
      "VERSION_UNKNOWN",
      `"${contract.name}" came with schema ${header.dataschema ?? "none"}; this service knows versions up to ${contract.version}. Deploy the newer service, then replay the message.`,
    );
  }
  let current = value;
  for (let from = version; from < contract.version; from++) {
    try {
      current = contract.upcasters[from]?.(current);
    } catch (error) {
      throw new WaybillError("DECODE_FAILED", `The upcaster of "${contract.name}" from version ${from} failed: ${messageOf(error)}.`, { cause: error });
    }
  }
  return current;
}
