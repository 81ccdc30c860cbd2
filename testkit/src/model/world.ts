import type { Position, StoredMessage } from "@waybill/core";
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
import { Books } from "./books.ts";
import { Log, unfinishedStates } from "./log.ts";
import { isSameSession, orderFault } from "./order.ts";
import { streams } from "./places.ts";
import { Remembered } from "./remembered.ts";
import { type Sent, itemOf, sentOn } from "./sent.ts";
import { acceptingTypes, topicName, wanting } from "./topics.ts";
import { Violation, fail } from "./violation.ts";
import { Ways, mayWait } from "./ways.ts";

/** What was observed of a delivery. */
export interface Observed {
  readonly address: string;
  readonly id: string;
  readonly attempt: number;
  readonly failure: string | undefined;
  readonly position: Position | undefined;
  readonly token: Token;
}

/** The broker as it ought to be: pure state, no time and no chance of its own. Methods throw a Violation where the real one cannot be explained. */
export class World {
  readonly #items = new Map<string, Item>();
  readonly #logs = new Map(
    streams.map((spec) => [spec.name, new Log(spec, () => this.#items.values())] as const),
  );
  readonly books: Books = new Books();
  readonly ways: Ways = new Ways();
  /** What sessions keep, by address and key. */
  readonly #states = new Map<string, string>();
  readonly #remembered = new Remembered();
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
        if (!this.#remembered.notes(sent, moment)) return this.#arrive(sent, sent.name, moment);
        this.books.accept(sent.name);
        return void this.duplicates.push(sent.id);
      case "stream":
        this.books.accept(sent.name);
        this.log(sent.name).append(sent);
        for (const group of this.log(sent.name).groups) this.#put(sent, group, moment);
        return;
      case "topic":
        this.books.accept(`${topicName}/`);
        if (acceptingTypes(this.variant).has(sent.type)) {
          for (const name of wanting(this.variant, sent))
            this.#put(sent, `${topicName}/${name}`, moment);
          return;
        }
        this.unrouted.push(sent.id);
        this.#put({ ...sent, notBefore: 0 }, `${topicName}/`, moment).state = "dead";
    }
  }

  /** Of a stream or of one of its groups. */
  log(address: string): Log {
    const [name = ""] = address.split("@");
    return this.#logs.get(name) ?? fail(`the model has no stream ${name}`);
  }

  /** A group comes to be when it is first read, at the earliest item. */
  read(group: string, moment: Moment): void {
    const log = this.log(group);
    if (log.add(group)) for (const sent of log.sent) this.#put(sent, group, moment);
  }

  deliver(observed: Observed, moment: Moment): Item {
    const { address, id, attempt, failure, token, position } = observed;
    const item = this.#found({ address, id, failure }, moment);
    const violation = (what: string): Violation => new Violation(`${id} came at ${address}${what}`);
    if (item === undefined) throw violation(", where nobody sent it");
    const fault =
      this.ways.silence(address) ??
      deliveryFault(item, moment) ??
      orderFault(item, this.#items.values(), {
        token,
        moment,
        mayBeRemoved: (other) => this.log(address).mayBeRemoved(other, moment),
      });
    if (fault !== undefined) throw violation(`, but ${fault}`);
    if (item.kind === "log") this.log(address).learn(item, position);
    const isLoose = item.kind === "log" && (item.removed || this.log(address).isUnstable(address));
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

  /** The item that stands there, or should have gone on there by now: then it has. */
  #found(
    { address, id, failure }: { address: string; id: string; failure: string | undefined },
    moment: Moment,
  ): Item | undefined {
    const known = this.#find(address, id, failure);
    if (known !== undefined) return known;
    const waiting = this.#items
      .values()
      .find((item) => item.id === id && this.ways.mayMove(item, address, moment));
    if (waiting === undefined) return undefined;
    waiting.state = "gone";
    const moved = this.#put(sentOn(waiting, address), address, moment);
    moved.notAfter = waiting.notAfter;
    // Among what was sent there meanwhile.
    moved.orderly = false;
    return moved;
  }

  /** What a group set aside is told from the item itself by its failure, which no other has. */
  #find(address: string, id: string, failure: string | undefined): Item | undefined {
    const item = this.#items.get(`${address}|${id}`);
    if (item?.kind !== "log" || failure === undefined) return item;
    return this.#items
      .values()
      .find((copy) => copy.address === address && copy.id === id && copy.failure === failure);
  }

  /** It is done. */
  end(item: Item): void {
    item.state = "gone";
    if (item.kind === "log") this.log(item.address).mayRepeat(item);
  }

  /** A queue ends with its process, with everything in it; where that was killed, by then. */
  drop(address: string, lingersUntil: number): void {
    this.books.end(address);
    for (const item of this.#items.values()) {
      if (item.address !== address) continue;
      item.state = "gone";
      item.holder = undefined;
      item.lingersUntil = lingersUntil;
    }
  }

  /** What the session of an item keeps. */
  kept({ address, key }: Item): string | undefined {
    return this.#states.get(`${address}|${key}`);
  }

  keep({ address, key }: Item, state: string | undefined): void {
    if (state === undefined) this.#states.delete(`${address}|${key}`);
    else this.#states.set(`${address}|${key}`, state);
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
    this.#setAside(item);
  }

  /** Its dead letters may stand elsewhere. */
  #setAside(item: Item): void {
    item.keptAt = this.ways.keeper(item.address);
    if (item.keptAt !== undefined) this.books.accept(item.keptAt);
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

  /** Holds a listing of every state against what is known, and takes over what only time has decided. */
  listed(messages: readonly (readonly [ListedState, StoredMessage])[], moment: Moment): void {
    const seen = new Map<Item, ListedState>();
    for (const [state, { address, envelope, attempt, failure, origin = address }] of messages) {
      const id = String(envelope.body);
      const name = `${address}|${id}`;
      const item = this.#found({ address: origin, id, failure: failure?.message }, moment);
      if (item === undefined) throw new Violation(`${name} is ${state}, and nobody sent it there`);
      if (seen.has(item))
        throw new Violation(`${name} is stored twice: ${seen.get(item)} and ${state}`);
      seen.set(item, state);
      if (item.lingersUntil > moment.now) continue;
      if (item.kind !== "log" && state !== "dead" && attempt !== item.attempt)
        throw new Violation(`${name} is ${state} with attempt ${attempt}, not ${item.attempt}`);
      if (state === "dead" && item.state !== "dead") this.#setAside(item);
      const place = state === "dead" ? (item.keptAt ?? item.address) : item.address;
      if (address !== place) throw new Violation(`${name} is ${state} there, not at ${place}`);
      if (this.ways.isLate(item, moment)) throw new Violation(`${name} should have gone on`);
    }
    for (const item of this.#items.values()) {
      const state = seen.get(item) ?? "gone";
      if (item.lingersUntil > moment.now) continue;
      // A listing shows of a group what was set aside.
      if (item.kind === "log" && state === "gone") continue;
      if (item.kind === "copy" && item.state !== "dead" && state === "gone") continue;
      const allowed = statesAllowed(item, moment);
      if (!allowed.has(state)) {
        const words = `${item.id} at ${item.address}`;
        throw new Violation(`${words} is ${state} and should be ${[...allowed].join(" or ")}`);
      }
      // Whether it had gone on before it expired is not told.
      if (state === "gone" && mayWait(item)) this.books.doubt(this.ways.onward(item.address));
      adopt(item, state, moment);
    }
  }

  /** What is left that a receiver could get: not what waits behind a parked dead letter. */
  unfinished(): Item | undefined {
    const items = [...this.#items.values()];
    const parked = items.filter(({ state, parks }) => state === "dead" && parks);
    return items.find(
      (item) =>
        unfinishedStates.has(item.state) && !parked.some((dead) => isSameSession(item, dead)),
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
    if (item.keptAt !== undefined) this.books.accept(item.address);
    comeBack(item, moment);
    item.attempt = 0;
    // In its session it takes its old place.
    item.orderly &&= item.kind === "session";
    item.notAfter = Infinity;
    return true;
  }

  #put(sent: Sent, address: string, moment: Moment): Item {
    const item = itemOf(sent, address, { order: ++this.#order, moment });
    this.#items.set(`${address}|${sent.id}`, item);
    if (!address.endsWith("/")) this.books.accept(address);
    return item;
  }

  /** At the queue, or on at the end of its way when nothing there waits in front. */
  #arrive(sent: Sent, address: string, moment: Moment): void {
    const to = this.ways.onward(address);
    const waits = this.#items.values().some((item) => item.address === address && mayWait(item));
    const isLater = (sent.notBefore ?? 0) > moment.now;
    if (to === undefined || waits || isLater || this.ways.silence(address) !== "it forwards")
      return void this.#put(sent, address, moment);
    this.books.accept(address);
    this.#arrive({ ...sent, name: to }, to, moment);
  }
}
