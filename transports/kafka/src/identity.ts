import { handleOf } from "@waybill/core/adapter";
import type { Identity } from "./delivery.ts";
import type { Read } from "./message.ts";
import { isToken } from "./shelf.ts";
import type { Entry } from "./window.ts";

/** What names a message of a queue or a subscription. */
export function identityAt(address: string): (entry: Entry, read: Read) => Identity {
  return ({ stored: { topic, partition, offset } }, read) => {
    // Whoever produces may write anything there; what no handle can name could never be found again.
    const known = read.token !== undefined && isToken(read.token) ? read.token : undefined;
    const token = known ?? `${codeOf(topic)}-${partition}-${offset}`;
    return { token, handle: handleOf(address, token), position: undefined };
  };
}

/** A subscription reads from two topics, whose offsets are alike: `e` for events, `q`, `r` for what came back. */
function codeOf(topic: string): string {
  return topic.split(".", 2)[1]?.charAt(0) ?? "";
}

/** What names an item of a group: where it stands in the stream, and after which seek it was read; of one that was given back, where it stood first. */
export function identityInStream(returns: string): (entry: Entry, read: Read) => Identity {
  return ({ window, stored }, read) => {
    const known = stored.topic === returns ? read.token : undefined;
    const token = known ?? `${stored.partition}-${stored.offset}-${window.seek}`;
    const [, partition, offset] = /^(\d+)-(\d+)-/.exec(token) ?? [];
    const isKnown = offset !== undefined && (known !== undefined || stored.topic !== returns);
    const position = isKnown ? { partition: Number(partition), offset: Number(offset) } : undefined;
    return { token, handle: undefined, position };
  };
}
