import type { Envelope } from "../envelope.ts";
import type { LeftBy } from "../ports/ledger.ts";
import type { Failure, MessageState, Position } from "../ports/transport.ts";
import type { Alarm } from "./alarms.ts";
import type { Mailbox } from "./mailbox.ts";
import type { MailSession } from "./sessions.ts";

/** What a sender handed over, checked. Copies for several subscriptions share one parcel. */
export interface Parcel {
  readonly envelope: Envelope;
  /** Bytes of the body. */
  readonly bytes: number;
  /** Milliseconds since 1970. */
  readonly enqueuedAt: number;
  readonly notBefore: number;
  readonly notAfter: number;
  /** Deleted when it expires, instead of set aside. */
  readonly discardExpired: boolean;
}

/** A parcel as it comes. A class for the sake of the collector, see `Received`. */
export class Posted implements Parcel {
  readonly envelope: Envelope;
  readonly bytes: number;
  readonly enqueuedAt: number;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly discardExpired: boolean;

  constructor(envelope: Envelope, rest: Omit<Parcel, "envelope">) {
    this.envelope = envelope;
    this.bytes = rest.bytes;
    this.enqueuedAt = rest.enqueuedAt;
    this.notBefore = rest.notBefore;
    this.notAfter = rest.notAfter;
    this.discardExpired = rest.discardExpired;
  }
}

/** The expiry of what somebody brought back: it has one no more, whatever its header says. */
export const expiryLifted: number = Number.MAX_SAFE_INTEGER;

/** The parcel as a replay or a resume sends it: at once, and never to expire. */
export function timeless(parcel: Parcel): Parcel {
  return { ...parcel, notBefore: 0, notAfter: expiryLifted };
}

/** Where a message lies. */
export interface MessageHome {
  readonly address: string;
  /** Its alarm rings: it is due, or it has expired. */
  onDue(message: Message): void;
  /** Deletes it, when nobody holds it. */
  discard(message: Message, by: LeftBy): void;
}

/** One message in one place. A replay makes a new one with the old number, so a stale reference never comes to life again. */
export class Message implements Alarm {
  readonly seq: number;
  readonly parcel: Parcel;
  state: MessageState | "gone" = "ready";
  /** Where it stands in a stream; set by who makes it. */
  position: Position | undefined = undefined;
  /** The session that it belongs to; set by its mailbox. */
  session: MailSession | undefined = undefined;
  attempt = 0;
  failure: Failure | undefined = undefined;
  /** Place in the order of its queue; kept when a delivery is given back. */
  order = 0;
  at = 0;
  slot = -1;
  home: MessageHome;
  /** Where it died, when it stands among the dead letters of another. */
  origin: Mailbox | undefined = undefined;

  constructor(seq: number, parcel: Parcel, home: MessageHome) {
    this.seq = seq;
    this.parcel = parcel;
    this.home = home;
  }

  ring(): void {
    this.home.onDue(this);
  }
}

/** The broker's own name of a message: good as long as it is stored. */
export function handleOf({ home, seq }: Pick<Message, "home" | "seq">): string {
  return `${home.address}#${seq}`;
}
