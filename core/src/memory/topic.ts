import { brokerFailure } from "../adapter/failures.ts";
import { type Change, type Taking, compileAcceptances } from "../wiring/acceptances.ts";
import type { Header } from "../envelope.ts";
import { type LedgerEntry, type LeftBy, ledgerEntry, nothingStands } from "../ports/ledger.ts";
import type {
  AddressSettings,
  AddressState,
  MessageState,
  SubscriptionSpec,
} from "../ports/transport.ts";
import { Aside } from "./aside.ts";
import { Book } from "./book.ts";
import type { Kernel } from "./kernel.ts";
import type { Mailbox } from "./mailbox.ts";
import { Remembered } from "./remembered.ts";
import { Message, type MessageHome, type Parcel, timeless } from "./message.ts";
import { standingByType } from "./standing.ts";

/** Where a parcel comes to lie. */
export interface Place {
  put(parcel: Parcel): void;
}

/** A subscription that names a type. */
export interface Route extends Taking {
  readonly mailbox: Mailbox;
}

/** An event's name and who wants it. Events that nobody wants stay here, as dead letters of the topic itself. */
export class Topic implements MessageHome {
  readonly kind = "topic";
  readonly name: string;
  readonly address: string;
  readonly aside: Aside = new Aside();
  readonly remembered: Remembered;
  readonly subscriptions: Map<string, Mailbox> = new Map();
  readonly #kernel: Kernel;
  readonly #book = new Book();
  readonly #accepts = new Map<string, SubscriptionSpec["accepts"]>();
  #routes = new Map<string, readonly Route[]>();
  #evicted = 0;

  constructor(name: string, kernel: Kernel) {
    this.name = name;
    this.address = `${name}/`;
    this.#kernel = kernel;
    this.remembered = new Remembered(kernel);
  }

  set(): Omit<AddressSettings, "address" | "kind"> {
    return {
      paused: undefined,
      forwardsTo: undefined,
      deadLettersTo: undefined,
      temporary: false,
    };
  }

  subscribe(name: string, mailbox: Mailbox, accepts: SubscriptionSpec["accepts"]): void {
    this.subscriptions.set(name, mailbox);
    this.#accepts.set(name, accepts);
    this.#readRoutes();
  }

  accepts(name: string): SubscriptionSpec["accepts"] | undefined {
    return this.#accepts.get(name);
  }

  unsubscribe(name: string): void {
    this.subscriptions.delete(name);
    this.#accepts.delete(name);
    this.#readRoutes();
  }

  /** The subscriptions that take an event; undefined when none so much as names its type. */
  route(header: Header): readonly Route[] | undefined {
    const routes = this.#routes.get(header.type);
    if (routes === undefined) return undefined;
    const attributes = header.attributes ?? {};
    return routes.filter(({ wants }) => wants(attributes));
  }

  /** Keeps an event that nobody subscribes to, the newest `unroutedMax` of them. */
  put(parcel: Parcel): void {
    const message = new Message(this.#kernel.nextSequence(), parcel, this);
    this.#kernel.charge(parcel.bytes);
    const { type } = parcel.envelope.header;
    this.#book.count(type, "accepted");
    message.failure = brokerFailure(
      "SUBSCRIBER_MISSING",
      `No subscription of the topic "${this.name}" names the type "${type}". Start the service that handles it and replay this event, or discard it.`,
      { now: parcel.enqueuedAt, attempts: 0 },
    );
    this.aside.add(message, "dead");
    if (this.aside.dead > this.#kernel.limits.unroutedMax) this.#evict();
  }

  /** One came that is not stored, because it is remembered. */
  duplicate(type: string): void {
    this.#book.count(type, "duplicates");
  }

  /** An event of a type that somebody names has gone to so many subscriptions. */
  passed(type: string, count: number): void {
    this.#book.count(type, count > 0 ? "routed" : "filtered");
  }

  /** Publishes a parked event again. False, and nothing changes, while still nobody subscribes to its type. */
  replay(message: Message): boolean {
    return this.#publish(message, message.parcel, "republished");
  }

  /** As `replay`, with other content. */
  replace(message: Message, parcel: Parcel): boolean {
    return this.#publish(message, parcel, "replaced");
  }

  #publish(message: Message, parcel: Parcel, by: LeftBy): boolean {
    const places = this.route(parcel.envelope.header);
    if (places === undefined) return false;
    this.discard(message, by);
    for (const { mailbox, change } of places) changing(mailbox, change).put(timeless(parcel));
    return true;
  }

  discard(message: Message, by: LeftBy): void {
    this.#book.count(message.parcel.envelope.header.type, by);
    this.aside.remove(message);
    this.#kernel.free(message.parcel.bytes);
  }

  onDue(): void {
    // A parked event has no alarm: it is dead already.
  }

  *messages(state: MessageState): Generator<Message, void, void> {
    if (state === "dead") yield* this.aside;
  }

  state(): AddressState {
    const nothing = {
      ready: 0,
      inFlight: 0,
      scheduled: 0,
      deferred: 0,
      oldestReadyMs: 0,
      receivers: 0,
    };
    const { address, kind } = this;
    return { address, kind, ...this.set(), ...nothing, dead: this.aside.dead };
  }

  ledger(): LedgerEntry {
    return ledgerEntry({
      address: this.address,
      kind: "topic",
      book: this.#book.lines(),
      standing: { ...nothingStands, dead: this.aside.dead },
      oldestWaitingMs: 0,
      byType: () => standingByType(this, this.#book),
    });
  }

  #evict(): void {
    const oldest = this.aside.first();
    if (oldest === undefined) return;
    this.discard(oldest, "evicted");
    this.#evicted += 1;
    if (this.#evicted % evictionsPerLine !== 1) return;
    this.#kernel.logger.warn(
      `Events of the topic "${this.name}" that nobody subscribes to were deleted: ${this.#evicted} so far, the newest ${this.#kernel.limits.unroutedMax} are kept. ` +
        "Start a service that subscribes, or stop publishing them.",
      { topic: this.name, evicted: this.#evicted },
    );
  }

  #readRoutes(): void {
    const routes = new Map<string, Route[]>();
    for (const [name, mailbox] of this.subscriptions) {
      for (const [type, { wants, change }] of compileAcceptances(this.#accepts.get(name) ?? [])) {
        const route = { wants, change, mailbox };
        routes.set(type, [...(routes.get(type) ?? []), route]);
      }
    }
    this.#routes = routes;
  }
}

const evictionsPerLine = 10_000;

/** The same place for copies that a rule changes. */
export function changing(place: Place, change: Change | undefined): Place {
  if (change === undefined) return place;
  return {
    put: (parcel) => {
      const { header, body } = parcel.envelope;
      place.put({ ...parcel, envelope: { header: change(header), body } });
    },
  };
}
