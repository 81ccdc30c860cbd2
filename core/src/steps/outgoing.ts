import { bodyBytes } from "../envelope.ts";
import { WaybillError, messageOf } from "../errors.ts";
import type { OutgoingStep } from "../pipeline.ts";

/** What brokers and rules need to see without opening the body: attributes of an event, the key of a stream's item. */
export const describe: OutgoingStep = {
  name: "describe",
  wrap: (next, contract) => {
    if (contract.kind === "event") {
      return (message) => {
        const attributes = contract.attributes(message.value);
        if (Object.keys(attributes).length > 0) message.header.attributes = attributes;
        return next(message);
      };
    }
    if (contract.kind === "stream") {
      return (message) => {
        message.header.partitionkey = String(contract.key(message.value));
        return next(message);
      };
    }
    return next;
  },
};

/** Value → body. Errors: MESSAGE_INVALID when the codec cannot write it, BODY_TOO_LARGE. */
export const encode: OutgoingStep = {
  name: "encode",
  wrap: (next, contract, { codec, transport }) => {
    const { bodyBytesMax } = transport.capabilities;
    return (message) => {
      try {
        message.body = codec.encode(message.value);
      } catch (cause) {
        throw new WaybillError("MESSAGE_INVALID", `"${contract.name}" cannot be written as ${codec.contentType}: ${messageOf(cause)}.`, { cause });
      }
      // A string has at most three bytes per unit, so most messages need no counting.
      if (message.body.length * 3 > bodyBytesMax && bodyBytes(message.body) > bodyBytesMax) {
        throw new WaybillError(
          "BODY_TOO_LARGE",
          `"${contract.name}" has ${bodyBytes(message.body)} bytes; ${transport.name} takes ${bodyBytesMax}. Send a reference to the data instead.`,
        );
      }
      return next(message);
    };
  },
};
