import type { Mailbox } from "./mailbox.ts";
import type { Message, Parcel } from "./message.ts";

/** Puts a dead letter among those of another mailbox, in the books of both. */
export function handOver(message: Message, origin: Mailbox, keeper: Mailbox): void {
  book(message, { from: origin, to: keeper });
  message.origin = origin;
  message.home = keeper;
  keeper.aside.add(message, "dead");
}

/** Whether it stands among the dead letters of another mailbox than that at which it died. */
export function isKept({ origin, home }: Message): boolean {
  return origin !== undefined && origin !== home;
}

/** Puts it back where it died, with other content where one is given. False, and nothing changed, when that mailbox has ended. */
export function handBack(message: Message, parcel?: Parcel): boolean {
  const { origin } = message;
  const keeper = message.home as Mailbox;
  if (origin === undefined || origin.dropped) return false;
  book(message, { from: keeper, to: origin });
  keeper.aside.remove(message);
  message.home = origin;
  return parcel === undefined ? origin.replay(message) : origin.replace(message, parcel);
}

function book(
  { parcel }: Message,
  { from, to }: { readonly from: Mailbox; readonly to: Mailbox },
): void {
  const { type } = parcel.envelope.header;
  from.stock.book.count(type, "forwarded");
  to.stock.book.count(type, "accepted");
}
