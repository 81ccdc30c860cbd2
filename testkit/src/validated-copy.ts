import { type Schema, validate } from "@waybill/contracts";
import { WaybillError } from "@waybill/core";

/** The validated value, its own copy. Error: MESSAGE_INVALID. */
export async function validatedCopy(
  schema: Schema,
  value: unknown,
  contract: string,
): Promise<unknown> {
  const result = await validate(schema, structuredClone(value));
  if (!("issues" in result) || result.issues === undefined)
    return (result as { readonly value: unknown }).value;
  const list = result.issues.map(({ path, message }) => `${path}: ${message}`).join("; ");
  throw new WaybillError("MESSAGE_INVALID", `"${contract}" does not fit its contract: ${list}`);
}
