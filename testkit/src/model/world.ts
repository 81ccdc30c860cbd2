import type { LedgerEntry, StoredMessage } from "@waybill/core";
import {
  adopt,
  deliveryFault,
  type Item,
  type ListedState,
  type Moment,
  statesAllowed,
  type Token,
} from "./item.ts";
import { acceptingTypes, topicName, wanting } from "./topics.ts";

/** What is sent, as the model sees it. */
export interface Sent {
  readonly id: string;
  readonly kind: "queue" | "topic" | "stream";
  readonly name: string;
  readonly type: string;
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly key?: string;
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly discardExpired?: boolean;
}

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
  #order = 0;
  /** Which acceptances the subscriptions have now. */
  variant = 0;
  /** Ids of events that nobody subscribes to, told to the sender. */
  readonly unrouted: string[] = [];

  items(): IterableIterator<Item> {
    return this.#items.values();
  }

  send(sent: Sent, moment: Moment): void {
    switch (sent.kind) {
      case "queue":
        return void this.#put(sent, sent.name, moment);
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
    const item = this.#items.get(`${address}|${id}`);
    if (item === undefined) throw new Violation(`${id} came at ${address}, where nobody sent it`);
    const fault = deliveryFault(item, moment) ?? this.#orderFault(item, token, moment);
    if (fault !== undefined) throw new Violation(`${id} came at ${address}, but ${fault}`);
    const expected = this.#unstable.has(address) ? attempt : item.attempt + 1;
    if (attempt !== expected || attempt < 1)
      throw new Violation(
        `${id} came at ${address} with attempt ${attempt} instead of ${item.attempt + 1}`,
      );
    if (item.failure !== undefined && failure !== item.failure && !this.#unstable.has(address))
      throw new Violation(
        `${id} came at ${address} with the failure ${failure}, not ${item.failure}`,
      );
    if (item.state === "dead" && item.mayRepeat) item.copied = true;
    item.state = "held";
    item.mayRepeat = false;
    item.attempt = attempt;
    item.holder = token;
    return item;
  }

  /** The members of a group change: from now on its partitions may move, and begin again at what was not done. */
  unsettle(group: string): void {
    this.#unstable.add(group);
    for (const item of this.#items.values()) if (item.address === group) this.#mayRepeat(item);
  }

  /** It is done, by being completed or set aside. */
  end(item: Item, state: "gone" | "dead"): void {
    item.state = state;
    this.#mayRepeat(item);
  }

  #mayRepeat(item: Item): void {
    if (!this.#unstable.has(item.address) || !item.orderly) return;
    if (item.state !== "gone" && item.state !== "dead") return;
    item.mayRepeat ||= this.#items
      .values()
      .some(
        (other) =>
          other.address === item.address &&
          other.order < item.order &&
          (unfinished.has(other.state) || other.mayRepeat),
      );
  }

  /** Holds a listing of every state against what is known, and takes over what only time has decided. */
  listed(messages: readonly (readonly [ListedState, StoredMessage])[], moment: Moment): void {
    const seen = new Map<string, ListedState>();
    for (const [state, { address, envelope, attempt }] of messages) {
      const name = `${address}|${String(envelope.body)}`;
      const item = this.#items.get(name);
      if (item === undefined) throw new Violation(`${name} is ${state}, and nobody sent it there`);
      if (item.copied) continue;
      if (seen.has(name))
        throw new Violation(`${name} is stored twice: ${seen.get(name)} and ${state}`);
      seen.set(name, state);
      if (item.key === undefined && state !== "dead" && attempt !== item.attempt)
        throw new Violation(`${name} is ${state} with attempt ${attempt}, not ${item.attempt}`);
    }
    for (const [name, item] of this.#items) {
      const state = seen.get(name) ?? "gone";
      // What a group has not read is no message of its own: a listing shows what was set aside.
      if (item.key !== undefined && item.state !== "dead" && state === "gone") continue;
      if (item.copied) continue;
      const allowed = statesAllowed(item, moment);
      if (!allowed.has(state))
        throw new Violation(`${name} is ${state} and should be ${[...allowed].join(" or ")}`);
      adopt(item, state, moment);
    }
  }

  /** Holds the books against what was sent. */
  booked(entries: readonly LedgerEntry[]): void {
    for (const { address, kind, accepted, copied, difference } of entries) {
      if (difference !== 0)
        throw new Violation(`the books of ${address} (${kind}) miss ${difference}`);
      const expected = kind === "log" ? this.#log.length : (this.#accepted.get(address) ?? 0);
      if (accepted - copied !== expected)
        throw new Violation(`the books of ${address} have ${accepted} accepted, not ${expected}`);
    }
  }

  /** Whether nothing is left that a receiver could get. */
  unfinished(): Item | undefined {
    for (const item of this.#items.values()) if (unfinished.has(item.state)) return item;
    return undefined;
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
        again.expiryLoose = true;
        if (again.notAfter <= moment.now) again.notAfter = Infinity;
      }
      return true;
    }
    comeBack(item, moment);
    item.attempt = 0;
    item.orderly = false;
    item.expiryLoose = true;
    if (item.notAfter <= moment.now) item.notAfter = Infinity;
    return true;
  }

  #put(
    sent: Omit<Sent, "key"> & { readonly key?: string | undefined },
    address: string,
    moment: Moment,
  ): Item {
    const { notBefore = 0, notAfter = Infinity } = sent;
    const delayed = notBefore > moment.now;
    const item: Item = {
      id: sent.id,
      address,
      order: ++this.#order,
      key: sent.key,
      type: sent.type,
      attributes: sent.attributes,
      discardExpired: sent.discardExpired ?? false,
      state: delayed ? "scheduled" : "ready",
      attempt: 0,
      due: notBefore,
      notAfter,
      expiryLoose: false,
      orderly: !delayed,
      since: moment.step,
      sinceAt: moment.now,
      holder: undefined,
      freeFrom: 0,
      freeBy: 0,
      failure: undefined,
      mayRepeat: false,
      copied: false,
    };
    this.#items.set(`${address}|${sent.id}`, item);
    if (!address.endsWith("/")) this.#accept(address);
    return item;
  }

  #accept(address: string): void {
    this.#accepted.set(address, (this.#accepted.get(address) ?? 0) + 1);
  }

  #orderFault(item: Item, token: Token, moment: Moment): string | undefined {
    if (!item.orderly) return undefined;
    for (const other of this.#items.values()) {
      if (other.address !== item.address || other.order >= item.order || !other.orderly) continue;
      // What a command of this moment puts back may be seen a little later.
      const waits =
        other.state === "ready" && other.since < moment.step && other.notAfter > moment.now;
      if (item.key === undefined ? waits : overtakes(item, other, { token, waits }))
        return `${other.id} stands before it`;
    }
    return undefined;
  }
}

const unfinished: ReadonlySet<string> = new Set(["ready", "scheduled", "held", "orphan"]);

/** In a stream the items of a key are handed on one behind the other, across members and their deaths. */
function overtakes(
  item: Item,
  other: Item,
  { token, waits }: { readonly token: Token; readonly waits: boolean },
): boolean {
  if (other.key !== item.key) return false;
  if (other.state === "held") return other.holder?.receiver !== token.receiver;
  return waits || other.state === "orphan";
}

/** The item is ready again, at its old place. */
export function comeBack(item: Item, moment: Moment): void {
  item.state = "ready";
  item.since = moment.step;
  item.sinceAt = moment.now;
  item.holder = undefined;
}

/** The real broker did what the model cannot explain. */
export class Violation extends Error {
  override readonly name = "Violation";
}
