import { type Body, WaybillError, type WireTransform, bodyBytes } from "@waybill/core";
import { type Algorithm, methods } from "./algorithms.ts";

export interface CompressionOptions {
  /** What is written; all three are read. Default "brotli". */
  readonly algorithm?: Algorithm;
  /** Bodies of fewer bytes leave as they are, 0 to 1,073,741,824. Default 1,024. */
  readonly thresholdBytes?: number;
  /** What a body may inflate to, 1 to 1,073,741,824; checked while it inflates. Default 8,388,608. */
  readonly inflatedBytesMax?: number;
}

const thresholdBytesDefault = 1_024;
const inflatedBytesMaxDefault = 8 * 1_024 * 1_024;
const optionBytesMax = 1_024 * 1_024 * 1_024;
/** Up to here in one go, above it in a thread of its own. */
const atOnceBytesMax = 32 * 1_024;

/**
 * Compresses bodies above a threshold; what does not shrink, or is larger than receivers inflate,
 * leaves as it is. Reads what was not compressed, too. Put it before
 * `encryption()`: what is encrypted does not shrink. Mind that the size of a body tells something of its text: do not compress
 * secrets together with text that a stranger chooses.
 *
 * Errors: BODY_TOO_LARGE for a body that inflates to more than `inflatedBytesMax`, DECODE_FAILED for one that does not inflate,
 * OPTION_INVALID.
 *
 * @example
 * await connect({ transport, services, wire: [compression()] });
 */
export function compression(options: CompressionOptions = {}): WireTransform {
  const { algorithm = "brotli" } = options;
  const { thresholdBytes = thresholdBytesDefault, inflatedBytesMax = inflatedBytesMaxDefault } =
    options;
  if (!Object.hasOwn(methods, algorithm))
    throw new WaybillError(
      "OPTION_INVALID",
      `compression({ algorithm: "${algorithm}" }) is not known; give one of ${Object.keys(methods).join(", ")}.`,
    );
  checkBytes("thresholdBytes", thresholdBytes, 0);
  checkBytes("inflatedBytesMax", inflatedBytesMax, 1);
  return {
    name: "compression",
    encodings: Object.keys(methods),
    required: false,
    seal: async (body) => {
      const bytes = bodyBytes(body);
      // What no receiver with this wire would inflate leaves as it is; the broker's own limit holds for it.
      if (bytes < thresholdBytes || bytes === 0 || bytes > inflatedBytesMax) return undefined;
      const method = methods[algorithm];
      const plain = bytesOf(body);
      const deflated =
        bytes <= atOnceBytesMax ? method.deflateNow(plain) : await method.deflate(plain);
      return deflated.byteLength < bytes ? { body: deflated, encoding: algorithm } : undefined;
    },
    open: async (body, { header, encoding }) => {
      const method = methods[encoding as Algorithm];
      const deflated = bytesOf(body);
      try {
        return deflated.byteLength <= atOnceBytesMax
          ? method.inflateNow(deflated, inflatedBytesMax)
          : await method.inflate(deflated, inflatedBytesMax);
      } catch (cause) {
        throw inflateFailed(cause, { type: header.type, encoding, inflatedBytesMax });
      }
    },
  };
}

function bytesOf(body: Body): Uint8Array {
  return typeof body === "string" ? Buffer.from(body) : body;
}

function inflateFailed(
  cause: unknown,
  {
    type,
    encoding,
    inflatedBytesMax,
  }: Record<"type" | "encoding", string> & { inflatedBytesMax: number },
): WaybillError {
  const { code } = cause as { code?: unknown };
  if (code === "ERR_BUFFER_TOO_LARGE")
    return new WaybillError(
      "BODY_TOO_LARGE",
      `The body of "${type}" inflates to more than ${inflatedBytesMax} bytes and was left alone. If its sender means it, raise compression({ inflatedBytesMax }).`,
      { cause },
    );
  return new WaybillError(
    "DECODE_FAILED",
    `The body of "${type}" is no whole ${encoding} data: it was cut or changed on its way.`,
    { cause },
  );
}

function checkBytes(option: string, value: unknown, least: number): void {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= optionBytesMax)
    return;
  throw new WaybillError(
    "OPTION_INVALID",
    `compression({ ${option} }) is ${String(value)}; give a whole number of bytes from ${least} to ${optionBytesMax}.`,
  );
}
