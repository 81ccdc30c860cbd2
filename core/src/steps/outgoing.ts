import { type Body, bodyBytes } from "../envelope.ts";
import { WaybillError, messageOf } from "../errors.ts";
import { keyOf, orderingKey } from "../wiring/key.ts";
import { attributeNameFault } from "../wiring/names.ts";
import type { OutgoingStep, Sender } from "../handling/pipeline.ts";
import type { Runtime } from "../runtime.ts";
import type { AnyContract } from "../wiring/uses.ts";

/** What brokers and rules need to see without opening the body: attributes of an event, the key of what keeps order. */
export const describe: OutgoingStep = {
  name: "describe",
  wrap: (following, contract) => {
    const next = withKey(following, contract);
    if (contract.kind === "event") {
      return (message) => {
        const attributes = contract.attributes(message.value);
        const names = Object.keys(attributes);
        for (const name of names) {
          const fault = attributeNameFault(name);
          if (fault !== undefined)
            throw new WaybillError(
              "MESSAGE_INVALID",
              `The attribute "${name}" of the event "${contract.name}" has no legal name: ${fault}.`,
            );
        }
        if (names.length > 0) message.header.attributes = attributes;
        return next(message);
      };
    }
    if (contract.kind === "stream") {
      return (message) => {
        // oxlint-disable-next-line typescript/no-unnecessary-type-conversion -- JavaScript may give a number
        message.header.partitionkey = String(contract.key(message.value));
        return next(message);
      };
    }
    return next;
  },
};

function withKey(next: Sender, contract: AnyContract): Sender {
  const key = orderingKey(contract);
  if (key === undefined) return next;
  return (message) => {
    message.header.partitionkey = keyOf(contract, key, message.value);
    return next(message);
  };
}

/** Value → body. Errors: MESSAGE_INVALID when the codec cannot write it, BODY_TOO_LARGE. */
export const encode: OutgoingStep = {
  name: "encode",
  wrap: (next, contract, runtime) => {
    return (message) => {
      message.body = encodeBody(message.value, contract.name, runtime);
      return next(message);
    };
  },
};

export function encodeBody(
  value: unknown,
  contract: string,
  { codec, transport }: Pick<Runtime, "codec" | "transport">,
): Body {
  const { bodyBytesMax } = transport.capabilities;
  let body: Body;
  try {
    body = codec.encode(value);
  } catch (cause) {
    throw new WaybillError(
      "MESSAGE_INVALID",
      `"${contract}" cannot be written as ${codec.contentType}: ${messageOf(cause)}.`,
      { cause },
    );
  }
  // A string has at most three bytes per unit, so most messages need no counting.
  if (body.length * 3 > bodyBytesMax && bodyBytes(body) > bodyBytesMax) {
    throw new WaybillError(
      "BODY_TOO_LARGE",
      `"${contract}" has ${bodyBytes(body)} bytes; ${transport.name} takes ${bodyBytesMax}. Send a reference to the data instead.`,
    );
  }
  return body;
}
