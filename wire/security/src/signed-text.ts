import { createHash } from "node:crypto";
import type { Body, Passage } from "@waybill/core";

/**
 * What a signature stands for: the fields of the header that say what a message is, for whom and when, what was done to its body, and the
 * body's hash. An array, so that no field can run into the next. Not covered, because brokers, rules and tracers may change them: attributes,
 * trace context and the ids of conversations.
 */
export function signedText(
  body: Body,
  { header, destination, encodings }: Pick<Passage, "header" | "destination" | "encodings">,
): string {
  return JSON.stringify([
    "waybill-1",
    header.id,
    header.source,
    header.type,
    header.subject ?? null,
    header.time,
    destination,
    header.datacontenttype,
    header.dataschema ?? null,
    header.correlationid ?? null,
    header.replyto ?? null,
    header.deadline ?? null,
    header.sequence ?? null,
    header.partitionkey ?? null,
    header.dedupid ?? null,
    encodings,
    createHash("sha256").update(body).digest("base64url"),
    ...(header.resumefrom === undefined ? [] : [header.resumefrom]),
  ]);
}
