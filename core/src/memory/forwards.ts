import { forwardFailure, forwardHopsMax } from "../wiring/forwarding.ts";
import type { Failure, ForwardTarget, Forwarding, Outgoing } from "../ports/transport.ts";
import type { Engine, Noted } from "./engine.ts";
import type { Mailbox } from "./mailbox.ts";
import type { Parcel } from "./message.ts";
import { Novel } from "./remembered.ts";
import { type Place, type Route, changing } from "./topic.ts";

/** What one batch learns on its way. */
export interface Passage {
  readonly novel: Novel;
  readonly noted: { readonly [Name in keyof Noted]: Outgoing[] };
  readonly now: number;
  /** Made already. */
  readonly hops: number;
}

/** Messages that one step moves. */
const stepMax = 500;

/** Where messages go on from an address that forwards. */
export class Forwards {
  readonly #engine: Engine;
  /** At these something waits that should go on. */
  readonly #waiting = new Set<Mailbox>();
  #moving = false;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** What a declaration says of a mailbox. */
  set(mailbox: Mailbox | undefined, { forwardTo, forwardDeadLettersTo }: Forwarding): void {
    if (mailbox === undefined) return;
    const { settings, receivers } = mailbox.stock;
    if (forwardDeadLettersTo !== undefined)
      settings.keeper =
        forwardDeadLettersTo === false ? undefined : this.#engine.queues.get(forwardDeadLettersTo);
    if (forwardTo === undefined) return;
    settings.forwardsTo = forwardTo === false ? undefined : forwardTo;
    receivers.onward = forwardTo === false ? undefined : () => this.#moveSoon(mailbox);
    receivers.wake();
  }

  /** Where a message for this mailbox comes to lie. */
  places(mailbox: Mailbox, outgoing: Outgoing, passage: Passage): readonly Place[] {
    const { header } = outgoing.envelope;
    const { forwardsTo } = mailbox.stock.settings;
    if (forwardsTo === undefined || !mailbox.exit.isOpen(header.partitionkey)) return mailbox.alone;
    const onward = this.#onward(mailbox, { outgoing, to: forwardsTo }, passage);
    if ("reason" in onward) return [{ put: (parcel) => mailbox.exit.stop(parcel, onward) }];
    return [{ put: () => mailbox.exit.passed(header.type) }, ...onward];
  }

  /** The same for the copies of an event. */
  copies(routes: readonly Route[], outgoing: Outgoing, passage: Passage): readonly Place[] {
    const isLater = (outgoing.notBefore ?? 0) > passage.now;
    return routes.flatMap(({ mailbox, change }) => {
      if (isLater || mailbox.stock.settings.forwardsTo === undefined)
        return changing(mailbox, change);
      const { header, body } = outgoing.envelope;
      const envelope = change === undefined ? outgoing.envelope : { header: change(header), body };
      return this.places(mailbox, { ...outgoing, envelope }, passage).map((place) =>
        changing(place, change),
      );
    });
  }

  /** Where it comes to lie behind a mailbox, or why it cannot. */
  #onward(
    { address }: Mailbox,
    way: { readonly outgoing: Outgoing; readonly to: ForwardTarget },
    passage: Passage,
  ): readonly Place[] | Failure {
    const { to } = way;
    const { hops, now } = passage;
    const further = { ...passage, hops: hops + 1 };
    const { queues, topics } = this.#engine;
    const outgoing = { ...way.outgoing, to };
    const target = this.#engine.remembering(to);
    if (hops === forwardHopsMax || target === undefined)
      return forwardFailure(address, to, { hops, now });
    if (passage.novel.note(target.remembered, outgoing) === undefined) {
      passage.noted.duplicates.push(outgoing);
      return [];
    }
    const queue = to.kind === "queue" ? queues.get(to.name) : undefined;
    if (queue !== undefined) return this.places(queue, outgoing, further);
    const topic = topics.get(to.name);
    if (topic === undefined) return [];
    const { header } = outgoing.envelope;
    const routes = topic.route(header);
    if (routes === undefined) {
      passage.noted.unrouted.push(outgoing);
      return [topic];
    }
    const passed = { put: () => topic.passed(header.type, routes.length) };
    return [passed, ...this.copies(routes, outgoing, further)];
  }

  #moveSoon(mailbox: Mailbox): void {
    this.#waiting.add(mailbox);
    if (this.#moving) return;
    this.#moving = true;
    this.#engine.kernel.soon(() => this.#move());
  }

  #move(): void {
    this.#moving = false;
    let room = stepMax;
    for (const mailbox of this.#waiting) {
      this.#waiting.delete(mailbox);
      for (; room > 0 && this.#moveNext(mailbox); room--);
      if (room === 0) return this.#moveSoon(mailbox);
    }
  }

  /** False when nothing is left that may go on. */
  #moveNext(mailbox: Mailbox): boolean {
    const { forwardsTo } = mailbox.stock.settings;
    const message = mailbox.exit.next();
    if (forwardsTo === undefined || message === undefined) return false;
    const now = this.#engine.kernel.now();
    const novel = new Novel(now);
    const passage = { novel, noted: { unrouted: [], duplicates: [] as Outgoing[] }, now, hops: 0 };
    const outgoing = { to: forwardsTo, envelope: message.parcel.envelope };
    const onward = this.#onward(mailbox, { outgoing, to: forwardsTo }, passage);
    if ("reason" in onward) mailbox.exit.stopped(message, onward);
    else {
      const parcel: Parcel = { ...message.parcel, notBefore: 0 };
      mailbox.exit.forwarded(message);
      novel.remember();
      for (const place of onward) place.put(parcel);
      for (const { to, envelope } of passage.noted.duplicates)
        this.#engine.remembering(to)?.duplicate(envelope.header.type);
    }
    return true;
  }
}
