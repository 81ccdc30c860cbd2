import { Decoder, Encoder, ExtensionCodec } from "@msgpack/msgpack";
import type { Codec } from "@waybill/core";
import { checkShape, depthMax } from "./shape.ts";

/**
 * MessagePack (https://github.com/msgpack/msgpack): smaller than JSON, and carries dates and bytes as themselves. Properties that are
 * `undefined` are left out, as in JSON. Refused, not bent: bigints, Map, Set, functions, symbols, what is nested deeper than 500 levels; and
 * when reading also other extensions than timestamps, text that is not UTF-8, integers beyond 2⁵³ and a key `__proto__`.
 *
 * @example
 * await connect({ transport, services, codec: messagePackCodec });
 */
export const messagePackCodec: Codec = {
  contentType: "application/msgpack",
  encode: (value) => {
    if (value === undefined) throw new TypeError("the value has no MessagePack form");
    return encoder().encode(value);
  },
  decode: (body) => {
    if (typeof body === "string")
      throw new TypeError("it is text; MessagePack is bytes. Does its sender use another codec?");
    checkShape(body);
    return decoder().decode(body);
  },
};

/** What the library would write as an empty object, losing what it holds. */
class Strict extends ExtensionCodec {
  override tryToEncode(
    object: unknown,
    context: undefined,
  ): ReturnType<ExtensionCodec["tryToEncode"]> {
    if (object instanceof Map || object instanceof Set || object instanceof Promise)
      throw new TypeError(`a ${object.constructor.name} has no MessagePack form`);
    if (typeof object === "bigint")
      throw new TypeError(`the bigint ${object} has no form that every reader takes; send text`);
    if (object instanceof Date && Number.isNaN(object.getTime()))
      throw new TypeError("an invalid date has no MessagePack form");
    return super.tryToEncode(object, context);
  }
}

const extensionCodec = new Strict();

/** One each per call costs less than what they keep; both hold no state between calls that we rely on. */
function encoder(): Encoder {
  return new Encoder({ extensionCodec, ignoreUndefined: true, maxDepth: depthMax });
}

function decoder(): Decoder {
  return new Decoder({ extensionCodec });
}
