import type { LedgerEntry, StoredMessage } from "@waybill/core";
import {
  adopt,
  comeBack,
  deliveryFault,
  type Item,
  type ListedState,
  type Moment,
  statesAllowed,
  type Token,
} from "./item.ts";
import { isSameSession, orderFault } from "./order.ts";
import { dedupQueue, dedupWindowMs } from "./places.ts";
import { type Sent, itemOf } from "./sent.ts";
import { acceptingTypes, topicName, wanting } from "./topics.ts";

/** What was observed of a delivery. */
export interface Observed {
  readonly address: string;
  readonly id: string;
  readonly attempt: number;
  readonly failure: string | undefined;
  readonly token: Token;
}

/** The broker as it ought to be: pure state, no time and no chance of its own. Methods throw a Violation where the real one cannot be explained. */
export class World {
  readonly #items = new Map<string, Item>();
  readonly #log: Sent[] = [];
  readonly #groups = new Set<string>();
  readonly #unstable = new Set<string>();
  readonly #accepted = new Map<string, number>();
  /** Until when, by type and id. */
  readonly #remembered = new Map<string, number>();
  readonly #paused = new Set<string>();
  #order = 0;
  /** Which acceptances the subscriptions have now. */
  variant = 0;
  /** Ids of events that nobody subscribes to, told to the sender. */
  readonly unrouted: string[] = [];
  /** Ids of what was accepted and not stored, told to the sender. */
  readonly duplicates: string[] = [];

  items(): IterableIterator<Item> {
    return this.#items.values();
  }

  send(sent: Sent, moment: Moment): void {
    switch (sent.kind) {
      case "queue":
        if (!this.#isDuplicate(sent, moment)) return void this.#put(sent, sent.name, moment);
        this.#accept(sent.name);
        return void this.duplicates.push(sent.id);
      case "stream":
        this.#log.push(sent);
        for (const group of this.#groups) this.#put(sent, group, moment);
        return;
      case "topic":
        this.#accept(`${topicName}/`);
        if (acceptingTypes(this.variant).has(sent.type)) {
          for (const name of wanting(this.variant, sent))
            this.#put(sent, `${topicName}/${name}`, moment);
          return;
        }
        this.unrouted.push(sent.id);
        this.#put({ ...sent, notBefore: 0 }, `${topicName}/`, moment).state = "dead";
    }
  }

  /** A group comes to be when it is first read, at the earliest item. */
  read(group: string, moment: Moment): void {
    if (this.#groups.has(group)) return;
    this.#groups.add(group);
    for (const sent of this.#log) this.#put(sent, group, moment);
  }

  deliver(observed: Observed, moment: Moment): Item {
    const { address, id, attempt, failure, token } = observed;
    const item = this.#find(address, id, failure);
    const violation = (what: string): Violation => new Violation(`${id} came at ${address}${what}`);
    if (item === undefined) throw violation(", where nobody sent it");
    const fault =
      (this.#paused.has(address) ? "it is paused" : undefined) ??
      deliveryFault(item, moment) ??
      orderFault(item, this.#items.values(), { token, moment });
    if (fault !== undefined) throw violation(`, but ${fault}`);
    const isLoose = item.kind === "log" && this.#unstable.has(address);
    const expected = isLoose ? attempt : item.attempt + 1;
    if (attempt !== expected || attempt < 1)
      throw violation(` with attempt ${attempt} instead of ${item.attempt + 1}`);
    if (item.failure !== undefined && failure !== item.failure)
      throw violation(` with the failure ${failure}, not ${item.failure}`);
    item.state = "held";
    item.mayRepeat = false;
    item.attempt = attempt;
    item.holder = token;
    return item;
  }

  /** What a group set aside is told from the item itself by its failure, which no other has. */
  #find(address: string, id: string, failure: string | undefined): Item | undefined {
    const item = this.#items.get(`${address}|${id}`);
    if (item?.kind !== "log" || failure === undefined) return item;
    return this.#items
      .values()
      .find((copy) => copy.address === address && copy.id === id && copy.failure === failure);
  }

  /** The members of a group change: from now on its partitions may move, and begin again at what was not done. */
  unsettle(group: string): void {
    this.#unstable.add(group);
    for (const item of this.#items.values()) if (item.address === group) this.#mayRepeat(item);
  }

  /** It is done. */
  end(item: Item): void {
    item.state = "gone";
    this.#mayRepeat(item);
  }

  /** It is set aside with its failure; in a stream as a copy. */
  bury(item: Item, failure: string, parks: boolean): void {
    if (item.kind === "log") {
      this.end(item);
      const copy: Item = { ...item, kind: "copy", state: "dead", failure, mayRepeat: false };
      this.#items.set(`${item.address}|${item.id}|${failure}`, { ...copy, orderly: false });
      return;
    }
    item.state = "dead";
    item.failure = failure;
    item.parks = parks && item.kind === "session";
  }

  /** What one receiver holds behind an item of a session goes back, uncounted, when that comes back or parks. */
  holdBack(item: Item, { receiver }: Token, moment: Moment): void {
    for (const other of this.#items.values()) {
      if (!isSameSession(item, other) || other.holder?.receiver !== receiver) continue;
      if (other.order <= item.order) continue;
      other.attempt -= 1;
      comeBack(other, moment);
    }
  }

  pause(address: string): void {
    this.#paused.add(address);
  }

  /** False when it was not paused. */
  resume(address: string): boolean {
    return this.#paused.delete(address);
  }

  resumeAll(): readonly string[] {
    const paused = [...this.#paused];
    this.#paused.clear();
    return paused;
  }

  hasGroup(group: string): boolean {
    return this.#groups.has(group);
  }

  /** Puts a group to one end of its stream. What its readers hold is not theirs any more. */
  seek(group: string, to: "start" | "end", moment: Moment): void {
    for (const item of this.#items.values()) {
      if (item.address !== group || item.kind !== "log") continue;
      comeBack(item, moment);
      item.attempt = 0;
      item.mayRepeat = false;
      if (to === "end") item.state = "gone";
    }
  }

  #mayRepeat(item: Item): void {
    if (!this.#unstable.has(item.address) || item.kind !== "log" || item.state !== "gone") return;
    item.mayRepeat ||= this.#items
      .values()
      .some(
        (other) =>
          other.address === item.address &&
          other.kind === "log" &&
          other.order < item.order &&
          (unfinished.has(other.state) || other.mayRepeat),
      );
  }

  /** Somebody has one of its session that stands before it. */
  isHeldBefore(item: Item): boolean {
    return this.#isBehind(item, "held");
  }

  #isBehind(item: Item, state: Item["state"]): boolean {
    return this.#items
      .values()
      .some(
        (other) => isSameSession(item, other) && other.state === state && other.order < item.order,
      );
  }

  #isDuplicate({ name, type, id, dedupid = id }: Sent, { now }: Moment): boolean {
    if (name !== dedupQueue) return false;
    const known = `${type} ${dedupid}`;
    if ((this.#remembered.get(known) ?? now) > now) return true;
    this.#remembered.set(known, now + dedupWindowMs);
    return false;
  }

  /** Holds a listing of every state against what is known, and takes over what only time has decided. */
  listed(messages: readonly (readonly [ListedState, StoredMessage])[], moment: Moment): void {
    const seen = new Map<Item, ListedState>();
    for (const [state, { address, envelope, attempt, failure }] of messages) {
      const id = String(envelope.body);
      const name = `${address}|${id}`;
      const item = this.#find(address, id, failure?.message);
      if (item === undefined) throw new Violation(`${name} is ${state}, and nobody sent it there`);
      if (seen.has(item))
        throw new Violation(`${name} is stored twice: ${seen.get(item)} and ${state}`);
      seen.set(item, state);
      if (item.kind !== "log" && state !== "dead" && attempt !== item.attempt)
        throw new Violation(`${name} is ${state} with attempt ${attempt}, not ${item.attempt}`);
    }
    for (const item of this.#items.values()) {
      const state = seen.get(item) ?? "gone";
      // A listing shows of a group what was set aside.
      if (item.kind === "log" && state === "gone") continue;
      if (item.kind === "copy" && item.state !== "dead" && state === "gone") continue;
      const allowed = statesAllowed(item, moment);
      if (!allowed.has(state)) {
        const words = `${item.id} at ${item.address}`;
        throw new Violation(`${words} is ${state} and should be ${[...allowed].join(" or ")}`);
      }
      adopt(item, state, moment);
    }
  }

  /** Holds the books against what was sent. */
  booked(entries: readonly LedgerEntry[]): void {
    for (const { address, kind, accepted, copied, repeated, difference } of entries) {
      if (difference !== 0)
        throw new Violation(`the books of ${address} (${kind}) miss ${difference}`);
      const expected = kind === "log" ? this.#log.length : (this.#accepted.get(address) ?? 0);
      const first = accepted - copied - repeated;
      if (first !== expected)
        throw new Violation(`the books of ${address} have ${first} accepted, not ${expected}`);
    }
  }

  /** What is left that a receiver could get: not what waits behind a parked dead letter. */
  unfinished(): Item | undefined {
    const items = [...this.#items.values()];
    const parked = items.filter(({ state, parks }) => state === "dead" && parks);
    return items.find(
      (item) => unfinished.has(item.state) && !parked.some((dead) => isSameSession(item, dead)),
    );
  }

  /** Puts back what was set aside. False when it stays where it is. */
  replay(item: Item, moment: Moment): boolean {
    if (item.address === `${topicName}/`) {
      if (!acceptingTypes(this.variant).has(item.type)) return false;
      item.state = "gone";
      for (const name of wanting(this.variant, item)) {
        const again = this.#put(
          { ...item, kind: "topic", name: topicName },
          `${topicName}/${name}`,
          moment,
        );
        again.orderly = false;
        again.notAfter = Infinity;
      }
      return true;
    }
    comeBack(item, moment);
    item.attempt = 0;
    // In its session it stands in front of what waits, or at its old place: with what it had not passed (it expired) it may change places.
    item.orderly = item.kind === "session" && !this.#isBehind(item, "ready");
    item.notAfter = Infinity;
    return true;
  }

  #put(sent: Sent, address: string, moment: Moment): Item {
    const item = itemOf(sent, address, { order: ++this.#order, moment });
    this.#items.set(`${address}|${sent.id}`, item);
    if (!address.endsWith("/")) this.#accept(address);
    return item;
  }

  #accept(address: string): void {
    this.#accepted.set(address, (this.#accepted.get(address) ?? 0) + 1);
  }
}

const unfinished: ReadonlySet<string> = new Set(["ready", "scheduled", "held", "orphan"]);

/** The real broker did what the model cannot explain. */
export class Violation extends Error {
  override readonly name = "Violation";
}
