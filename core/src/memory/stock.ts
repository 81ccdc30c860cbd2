import { type LedgerEntry, type Standing, ledgerEntry } from "../ports/ledger.ts";
import type {
  AddressSettings,
  AddressState,
  ForwardTarget,
  MessageState,
} from "../ports/transport.ts";
import { Aside } from "./aside.ts";
import { Book } from "./book.ts";
import type { Kernel } from "./kernel.ts";
import type { Mailbox } from "./mailbox.ts";
import { Later } from "./later.ts";
import { Line } from "./line.ts";
import { Message, type MessageHome } from "./message.ts";
import { Receivers } from "./receivers.ts";
import type { Sessions } from "./sessions.ts";
import { standingByType } from "./standing.ts";

/** What stands at a mailbox, and its book: for who moves messages and for who looks. */
export class Stock {
  readonly line: Line;
  readonly receivers: Receivers = new Receivers();
  readonly aside: Aside = new Aside();
  sessions: Sessions | undefined = undefined;
  readonly later: Later;
  inFlight = 0;
  readonly settings: {
    forwardsTo: ForwardTarget | undefined;
    /** The mailbox among whose dead letters its own stand. */
    keeper: Mailbox | undefined;
    temporary: boolean;
  } = { forwardsTo: undefined, keeper: undefined, temporary: false };
  book: Book = new Book();
  readonly #kernel: Kernel;
  readonly #home: MessageHome;

  constructor(kernel: Kernel, home: MessageHome) {
    this.#kernel = kernel;
    this.#home = home;
    this.later = new Later(kernel);
    this.line = new Line(() => kernel.nextSequence());
  }

  /** Whether something can be taken. */
  get waits(): boolean {
    return this.line.length > 0 || this.sessions?.next() !== undefined;
  }

  *messages(state: MessageState): Generator<Message, void, void> {
    if (state === "ready") {
      yield* this.line;
      return yield* this.sessions?.messages() ?? [];
    }
    if (state === "inFlight") return yield* this.receivers.held();
    if (state === "scheduled") {
      for (const alarm of this.#kernel.due.pending()) {
        if (alarm instanceof Message && alarm.home === this.#home && alarm.state === "scheduled")
          yield alarm;
      }
      return;
    }
    for (const message of this.aside) if (message.state === state) yield message;
  }

  standing(): Standing {
    return {
      ready: this.line.length + (this.sessions?.length ?? 0),
      inFlight: this.inFlight,
      scheduled: this.later.count,
      deferred: this.aside.deferred,
      dead: this.aside.dead,
    };
  }

  state({ address, kind }: Pick<AddressState, "address" | "kind">): AddressState {
    return {
      address,
      kind,
      ...this.standing(),
      oldestReadyMs: this.#age(this.#heads()),
      receivers: this.receivers.count,
      ...this.set(),
    };
  }

  /** What is set of the mailbox. */
  set(): Omit<AddressSettings, "address" | "kind"> {
    const { forwardsTo, keeper, temporary } = this.settings;
    return { paused: this.receivers.paused, forwardsTo, deadLettersTo: keeper?.address, temporary };
  }

  ledger({ address, kind }: Pick<AddressState, "address" | "kind">): LedgerEntry {
    return ledgerEntry({
      address,
      kind,
      book: this.book.lines(),
      standing: this.standing(),
      oldestWaitingMs: this.#age([...this.#heads(), ...this.receivers.held()]),
      byType: () => standingByType(this, this.book),
    });
  }

  #heads(): readonly Message[] {
    return [this.line.peek(), this.sessions?.oldest()].filter((head) => head !== undefined);
  }

  #age(messages: readonly Message[]): number {
    const now = this.#kernel.now();
    let oldest = now;
    for (const { parcel } of messages) oldest = Math.min(oldest, parcel.enqueuedAt);
    return now - oldest;
  }
}
