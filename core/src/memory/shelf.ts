import type { LedgerEntry, LeftBy } from "../ports/ledger.ts";
import type {
  AddressSettings,
  AddressState,
  MessageState,
  StoredMessage,
} from "../ports/transport.ts";
import type { Aside } from "./aside.ts";
import { ownCopy } from "./delivery.ts";
import { type Message, type Parcel, handleOf } from "./message.ts";
import type { Receivers } from "./receivers.ts";

/** An address, for who looks. */
export interface Shelf {
  readonly address: string;
  readonly kind: AddressState["kind"];
  readonly aside: Aside;
  /** A topic has none. */
  readonly receivers?: Receivers;
  messages(state: MessageState): Iterable<Message>;
  state(): AddressState;
  set(): Omit<AddressSettings, "address" | "kind">;
  /** False when it cannot go back yet; anything else when it did. */
  replay(message: Message): boolean | void;
  /** Where something can be deferred. */
  resume?(message: Message): void;
  /** As `replay`, with other content and as a new message. */
  replace(message: Message, parcel: Parcel): boolean | void;
  discard(message: Message, by: LeftBy): void;
  ledger(): LedgerEntry;
}

/** A message as it is listed. */
export function stored(address: string, state: MessageState, message: Message): StoredMessage {
  return {
    handle: handleOf(message),
    address,
    origin: message.origin?.address,
    state,
    envelope: ownCopy(message.parcel.envelope),
    attempt: message.attempt,
    enqueuedAt: message.parcel.enqueuedAt,
    failure: message.failure,
  };
}

/** The number in a handle. */
export function seqOf(handle: string): number | undefined {
  const seq = Number(handle.slice(handle.lastIndexOf("#") + 1));
  return Number.isSafeInteger(seq) ? seq : undefined;
}
