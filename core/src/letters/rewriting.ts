import { type Body, type Envelope, type Header, bodyBytes } from "../envelope.ts";
import { WaybillError } from "../errors.ts";
import { type Runtime, runtimeOf } from "../runtime.ts";
import type { Speech } from "../speaking/speech.ts";
import { typesOf } from "../wiring/former-names.ts";
import { encodeBody } from "../steps/outgoing.ts";
import type { Wiring } from "../wiring/wiring.ts";

/** What an edited message says: a value to be validated and encoded, or the body as it is. */
export type NewContent = { readonly value: unknown } | { readonly body: Body };

/** The same message with another content, under a new id. */
export type Rewrite = (older: Envelope, content: NewContent) => Promise<Envelope>;

export interface RewriteParts {
  readonly runtime: Runtime;
  readonly wiring: Pick<Wiring, "contracts" | "speakers">;
  readonly speech: Speech;
}

/** Conversation, cause, key and sender stay. What bound the old one in time goes: it is too late for that. */
export function rewriting({ runtime, wiring, speech }: RewriteParts): Rewrite {
  return async ({ header }, content) => {
    const { expirytime: _, deadline: __, dedupid: ___, ...bound } = header;
    // The new body is sealed anew.
    const { contentencoding: ____, signature: _____, ...kept } = bound;
    const id = runtime.environment.id();
    const again = { ...kept, id, replacesid: header.id };
    const contract =
      wiring.contracts.get(header.type) ??
      [...wiring.contracts.values()].find((each) => typesOf(each).includes(header.type));
    const own = contract === undefined ? runtime : runtimeOf(runtime, contract);
    if ("body" in content) return { header: again, body: sized(content.body, header, own) };
    if (contract === undefined) {
      const body = encodeBody(content.value, header.type, runtime);
      return { header: { ...again, datacontenttype: runtime.codec.contentType }, body };
    }
    const service = wiring.speakers.get(contract.name) ?? "";
    const origin = { service, parent: undefined, options: { id } };
    const { envelope } = await speech.prepare(contract, content.value, origin);
    const { datacontenttype, dataschema, attributes, time } = envelope.header;
    const { attributes: ______, ...rest } = again;
    return {
      header: {
        ...rest,
        time,
        datacontenttype,
        ...(dataschema !== undefined && { dataschema }),
        ...(attributes !== undefined && { attributes }),
      },
      body: envelope.body,
    };
  };
}

function sized(body: Body, { type, id }: Header, { transport }: Pick<Runtime, "transport">): Body {
  const bytes = bodyBytes(body);
  const { bodyBytesMax } = transport.capabilities;
  if (bytes <= bodyBytesMax) return body;
  throw new WaybillError(
    "BODY_TOO_LARGE",
    `The new body of ${type} ${id} has ${bytes} bytes; ${transport.name} takes ${bodyBytesMax}. Give a smaller one.`,
  );
}
