import { WaybillError } from "../errors.ts";
import type { AnyContract } from "./uses.ts";

const keyLengthMax = 256;

/** The function that orders messages of this command or event; undefined where nothing does. A stream orders by its partitions. */
export function orderingKey(contract: AnyContract): ((value: unknown) => string) | undefined {
  return contract.kind === "command" || contract.kind === "event" ? contract.key : undefined;
}

/** The key of a message. Throws MESSAGE_INVALID when it is no text of 1 to 256 characters: a broker could not keep order by it. */
export function keyOf(
  contract: AnyContract,
  key: (value: unknown) => string,
  value: unknown,
): string {
  // oxlint-disable-next-line typescript/no-unnecessary-type-conversion -- JavaScript may give a number
  const text = String(key(value) ?? "");
  if (text.length > 0 && text.length <= keyLengthMax && text.isWellFormed()) return text;
  throw new WaybillError(
    "MESSAGE_INVALID",
    `The key of the ${contract.kind} "${contract.name}" has ${text.length} characters or is no text; it takes 1 to ${keyLengthMax}. Return the id of what the message is about.`,
  );
}
