import { WaybillError } from "../errors.ts";
import { type LedgerEntry, ledgerEntry, nothingStands } from "../ports/ledger.ts";
import type {
  AddressSettings,
  AddressState,
  GroupState,
  Inspection,
  ListQuery,
  MessageState,
  PurgeState,
  Resumed,
  SeekTarget,
  StoredMessage,
  Whereabouts,
} from "../ports/transport.ts";
import type { Envelope } from "../envelope.ts";
import { checkPauseReason, deliversNothing } from "../operating/pausing.ts";
import type { Engine } from "./engine.ts";
import type { Group } from "./group.ts";
import type { Message } from "./message.ts";
import { type Shelf, seqOf, stored } from "./shelf.ts";
import type { Receivers } from "./receivers.ts";

const limitMax = 1_000;
const statesOfMessages: readonly MessageState[] = [
  "ready",
  "inFlight",
  "scheduled",
  "deferred",
  "dead",
];

/** Looking costs time in proportion to what is looked at; delivering pays nothing for it. */
export class MemoryInspection implements Inspection {
  readonly #engine: Engine;
  readonly #assertOpen: () => void;

  constructor(engine: Engine, assertOpen: () => void) {
    this.#engine = engine;
    this.#assertOpen = assertOpen;
  }

  async addresses(): Promise<readonly AddressState[]> {
    this.#assertOpen();
    return [...this.#shelves()].map((shelf) => shelf.state());
  }

  async settings(): Promise<readonly AddressSettings[]> {
    this.#assertOpen();
    return this.#engine.settings();
  }

  async pause(address: string, reason: string): Promise<void> {
    checkPauseReason(reason);
    this.#receiversOf(address).pause(reason, this.#engine.kernel.now());
  }

  async resume(address: string): Promise<boolean> {
    return this.#receiversOf(address).resume();
  }

  async list({ state, address, after, limit }: ListQuery): Promise<readonly StoredMessage[]> {
    this.#assertOpen();
    if (!Number.isSafeInteger(limit) || limit < 1 || limit > limitMax) {
      throw new WaybillError(
        "OPTION_INVALID",
        `list({ limit }) takes a whole number from 1 to ${limitMax}, not ${limit}.`,
      );
    }
    const behind = after === undefined ? 0 : (seqOf(after) ?? 0);
    const found: { readonly shelf: Shelf; readonly message: Message }[] = [];
    for (const shelf of this.#shelves()) {
      if (address !== undefined && shelf.address !== address) continue;
      for (const message of shelf.messages(state))
        if (message.seq > behind) found.push({ shelf, message });
    }
    found.sort((left, right) => left.message.seq - right.message.seq);
    return found.slice(0, limit).map(({ shelf, message }) => stored(shelf.address, state, message));
  }

  async replay(handles: readonly string[]): Promise<number> {
    return this.#each(handles, (shelf, message) => shelf.replay(message) !== false);
  }

  async resumeDeferred(handle: string): Promise<Resumed> {
    const count = this.#each([handle], (shelf, message) => {
      if (message.state !== "deferred" || shelf.resume === undefined) return false;
      shelf.resume(message);
      return true;
    });
    if (count === 1) return "resumed";
    const [where = "gone"] = await this.follow([handle]);
    return where === "deferred" ? "gone" : where;
  }

  async get(handle: string): Promise<StoredMessage | undefined> {
    let found: StoredMessage | undefined;
    this.#each([handle], (shelf, message) => {
      found = stored(shelf.address, message.state as MessageState, message);
      return true;
    });
    return found;
  }

  async follow(handles: readonly string[]): Promise<readonly Whereabouts[]> {
    this.#assertOpen();
    const found = new Map<string, Whereabouts>();
    const wanted = Map.groupBy(handles, (handle) => handle.slice(0, handle.lastIndexOf("#")));
    for (const shelf of this.#shelves()) {
      const seqs = new Set(wanted.get(shelf.address)?.map(seqOf));
      if (seqs.size === 0) continue;
      for (const state of statesOfMessages) {
        for (const { seq } of shelf.messages(state))
          if (seqs.has(seq)) found.set(`${shelf.address}#${seq}`, whereabouts(state));
      }
    }
    const { discarded } = this.#engine.kernel;
    return handles.map(
      (handle) =>
        found.get(handle) ??
        this.#elsewhere(handle) ??
        (discarded.has(handle) ? "discarded" : "gone"),
    );
  }

  async discard(handles: readonly string[]): Promise<number> {
    this.#assertOpen();
    const wanted = Map.groupBy(handles, (handle) => handle.slice(0, handle.lastIndexOf("#")));
    let count = 0;
    for (const shelf of this.#shelves()) {
      const seqs = new Set(wanted.get(shelf.address)?.map(seqOf));
      if (seqs.size === 0) continue;
      const found = purgeable(shelf).flatMap((state) =>
        [...shelf.messages(state)].filter(({ seq }) => seqs.has(seq)),
      );
      for (const message of found) {
        this.#engine.kernel.discarded.note(shelf.address, message);
        shelf.discard(message, message.state === "scheduled" ? "cancelled" : "discarded");
      }
      count += found.length;
    }
    return count;
  }

  async cancel(ids: readonly string[], address?: string): Promise<number> {
    this.#assertOpen();
    let count = 0;
    for (const id of ids) {
      for (const message of this.#engine.kernel.later.get(id) ?? []) {
        if (address !== undefined && message.home.address !== address) continue;
        message.home.discard(message, "cancelled");
        count += 1;
      }
    }
    return count;
  }

  async purge(address: string, state: PurgeState): Promise<number> {
    const shelf = this.#shelf(address);
    if (!purgeable(shelf).includes(state)) {
      throw new WaybillError(
        "NOT_SUPPORTED",
        `"${address}" is a group of a stream: what is ${state} there are items, which leave by retention. Only its dead letters can be purged.`,
      );
    }
    const all = [...shelf.messages(state)];
    for (const message of all) {
      this.#engine.kernel.discarded.note(shelf.address, message);
      shelf.discard(message, "purged");
    }
    return all.length;
  }

  async replace(handle: string, envelope: Envelope): Promise<boolean> {
    const { kernel } = this.#engine;
    const parcel = this.#engine.parcel({ envelope }, kernel.now());
    const count = this.#each([handle], (shelf, message) => {
      if (!kernel.fits(parcel.bytes - message.parcel.bytes, 0)) throw kernel.fullError();
      return shelf.replace(message, parcel) !== false;
    });
    return count === 1;
  }

  async ledger(): Promise<readonly LedgerEntry[]> {
    this.#assertOpen();
    const { kernel, streams } = this.#engine;
    const entries = [...this.#shelves(), ...streams.values()].map((each) => each.ledger());
    const book = kernel.removed.lines();
    if (book.size === 0) return entries;
    const nothing = { standing: nothingStands, oldestWaitingMs: 0 };
    return [...entries, ledgerEntry({ address: "#removed", kind: "removed", book, ...nothing })];
  }

  #receiversOf(address: string): Receivers {
    const { receivers } = this.#shelf(address);
    return receivers ?? deliversNothing(address);
  }

  #shelf(address: string): Shelf {
    this.#assertOpen();
    const shelf = [...this.#shelves()].find((each) => each.address === address);
    if (shelf !== undefined) return shelf;
    throw new WaybillError(
      "NOT_FOUND",
      `There is no address "${address}" on the in-memory broker. addresses() lists those that are.`,
    );
  }

  async groups(stream: string): Promise<readonly GroupState[]> {
    return [...this.#groupsOf(stream).values()].map((group) => group.progress());
  }

  async seek(stream: string, group: string, to: SeekTarget): Promise<GroupState> {
    const groups = this.#groupsOf(stream);
    const found = groups.get(group);
    if (found !== undefined) return found.seek(to);
    throw new WaybillError(
      "NOT_FOUND",
      `The stream "${stream}" has no group "${group}"; it has ${[...groups.keys()].join(", ") || "none"}. A group begins when a service first reads.`,
    );
  }

  #groupsOf(stream: string): ReadonlyMap<string, Group> {
    this.#assertOpen();
    const log = this.#engine.streams.get(stream);
    if (log !== undefined) return log.groups;
    throw new WaybillError(
      "NOT_FOUND",
      `There is no stream "${stream}" on the in-memory broker. Declare it, or connect a service that uses it.`,
    );
  }

  /** Where a message is that was set aside among the dead letters of another address, or came back from there: it kept its number, which no other has. */
  #elsewhere(handle: string): Whereabouts | undefined {
    const seq = seqOf(handle);
    for (const shelf of this.#shelves()) {
      if (shelf.kind !== "queue" && shelf.kind !== "subscription") continue;
      for (const state of statesOfMessages)
        for (const message of shelf.messages(state))
          if (message.seq === seq) return whereabouts(state);
    }
    return undefined;
  }

  #each(handles: readonly string[], act: (shelf: Shelf, message: Message) => boolean): number {
    this.#assertOpen();
    const shelves = new Map([...this.#shelves()].map((shelf) => [shelf.address, shelf]));
    let count = 0;
    for (const handle of handles) {
      const shelf = shelves.get(handle.slice(0, handle.lastIndexOf("#")));
      const message = shelf?.aside.get(seqOf(handle) ?? -1);
      if (shelf !== undefined && message !== undefined && act(shelf, message)) count += 1;
    }
    return count;
  }

  #shelves(): Iterable<Shelf> {
    return this.#engine.addresses();
  }
}

function whereabouts(state: MessageState): Whereabouts {
  return state === "dead" || state === "deferred" ? state : "waiting";
}

const purgeStates: readonly PurgeState[] = ["ready", "scheduled", "deferred", "dead"];

function purgeable(shelf: Shelf): readonly PurgeState[] {
  return shelf.kind === "stream" ? ["dead"] : purgeStates;
}
