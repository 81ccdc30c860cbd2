import { type Standing, nothingStands } from "../ports/ledger.ts";
import type { MessageState } from "../ports/transport.ts";
import type { Book } from "./book.ts";
import type { Message } from "./message.ts";

const states: readonly MessageState[] = ["ready", "inFlight", "scheduled", "deferred", "dead"];

/** Counts what stands somewhere by the types of its book. */
export function standingByType(
  place: { messages(state: MessageState): Iterable<Message> },
  book: Book,
): ReadonlyMap<string, Standing> {
  const counts = new Map<string, { -readonly [State in keyof Standing]: number }>();
  for (const state of states) {
    for (const { parcel } of place.messages(state)) {
      const type = book.typeOf(parcel.envelope.header.type);
      const standing = counts.get(type) ?? { ...nothingStands };
      counts.set(type, standing);
      standing[state] += 1;
    }
  }
  return counts;
}
