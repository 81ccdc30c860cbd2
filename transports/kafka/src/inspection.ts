import type {
  AddressSettings,
  AddressState,
  Envelope,
  GroupState,
  ListQuery,
  PurgeState,
  Resumed,
  SeekTarget,
  StoredMessage,
  Whereabouts,
} from "@waybill/core";
import {
  type AsideState,
  asideStates,
  byAddress,
  PartialInspection,
  readHandle,
} from "@waybill/core/adapter";
import type { Addresses } from "./addresses.ts";
import type { Aside, Found } from "./aside.ts";
import type { Extras } from "./message.ts";
import type { Outbound } from "./outbound.ts";
import type { Streams } from "./streams/streams.ts";
import { isOfStream } from "./topology.ts";

export interface InspectionParts {
  readonly addresses: Addresses;
  readonly aside: Aside;
  readonly outbound: Outbound;
  readonly streams: Streams;
  /** A name that nothing else has. */
  readonly id: () => string;
  readonly assertOpen: () => void;
}

/** What Kafka lets an operator see and move. */
export class KafkaInspection extends PartialInspection {
  protected readonly limits = {
    cannot: "Over Kafka, Waybill",
    instead: "Look at the topic with a tool of Kafka.",
  };
  readonly #parts: InspectionParts;

  constructor(parts: InspectionParts) {
    super();
    this.#parts = parts;
  }

  async addresses(): Promise<readonly AddressState[]> {
    this.#parts.assertOpen();
    const { addresses, streams } = this.#parts;
    return [...(await addresses.states()), ...(await streams.states())].toSorted(byAddress);
  }

  async settings(): Promise<readonly AddressSettings[]> {
    this.#parts.assertOpen();
    const { addresses, streams } = this.#parts;
    return [...(await addresses.settings()), ...(await streams.settings())].toSorted(byAddress);
  }

  async groups(stream: string): Promise<readonly GroupState[]> {
    this.#parts.assertOpen();
    return this.#parts.streams.groups(stream);
  }

  async seek(stream: string, group: string, to: SeekTarget): Promise<GroupState> {
    this.#parts.assertOpen();
    return this.#parts.streams.seek(stream, group, to);
  }

  async list({ state, address, after, limit }: ListQuery): Promise<readonly StoredMessage[]> {
    this.#parts.assertOpen();
    const { aside, addresses } = this.#parts;
    const wanted = this.asideOf(state);
    const last = after === undefined ? undefined : readHandle(after);
    const all = address === undefined ? await addresses.withAside(wanted) : [address];
    const listed: StoredMessage[] = [];
    for (const each of last === undefined ? all : all.filter((name) => name >= last.address)) {
      const page = {
        after: each === last?.address ? last.token : undefined,
        limit: limit - listed.length,
      };
      if (page.limit > 0)
        for (const { stored } of await aside.list(each, wanted, page)) listed.push(stored);
    }
    return listed;
  }

  async get(handle: string): Promise<StoredMessage | undefined> {
    this.#parts.assertOpen();
    return (await this.#find(handle))?.stored;
  }

  async follow(handles: readonly string[]): Promise<readonly Whereabouts[]> {
    this.#parts.assertOpen();
    const places: Whereabouts[] = [];
    for (const handle of handles)
      places.push(((await this.#find(handle))?.stored.state as AsideState | undefined) ?? "gone");
    return places;
  }

  async replay(handles: readonly string[]): Promise<number> {
    let replayed = 0;
    for (const handle of new Set(handles)) {
      const found = await this.#find(handle);
      if (found === undefined) continue;
      // Its handle stays with it, except where it is published again.
      const token = found.stored.address.endsWith("/") ? undefined : found.token;
      const { failure } = found.stored;
      if (await this.#giveBack(found, { token, failure })) replayed += 1;
    }
    return replayed;
  }

  async resumeDeferred(handle: string): Promise<Resumed> {
    this.#parts.assertOpen();
    const { aside } = this.#parts;
    const found = await aside.find(handle, "deferred");
    if (found === undefined)
      return (await aside.find(handle, "dead")) === undefined ? "gone" : "dead";
    const { attempt, failure } = found.stored;
    const { token } = found;
    // It comes as the attempt that deferred it.
    const extras = { attempts: Math.max(0, attempt - 1), failure, token };
    const isBack = await this.#giveBack(found, extras);
    return isBack ? "resumed" : "gone";
  }

  async discard(handles: readonly string[]): Promise<number> {
    let discarded = 0;
    for (const handle of new Set(handles)) {
      const found = await this.#find(handle);
      if (found !== undefined && (await this.#parts.aside.remove(found))) discarded += 1;
    }
    return discarded;
  }

  async replace(handle: string, envelope: Envelope): Promise<boolean> {
    const found = await this.#find(handle);
    if (found === undefined) return false;
    // At the same position of the stream, under a handle of its own.
    const [partition, offset] = found.token.split("-");
    const isItem = isOfStream(found.stored.address);
    const extras = isItem ? { token: `${partition}-${offset}-${this.#parts.id()}` } : {};
    return this.#giveBack(found, extras, envelope);
  }

  async purge(address: string, state: PurgeState): Promise<number> {
    this.#parts.assertOpen();
    if (state === "scheduled") throw this.notSupported("purge scheduled messages");
    const { addresses, streams } = this.#parts;
    if (isOfStream(address)) await streams.assertKnown(address);
    else if (state === "ready") return addresses.drain(address);
    else await addresses.assertKnown(address);
    if (state === "ready")
      throw this.notSupported("purge the items of a stream, which leave by retention");
    return this.#parts.aside.purge(address, state);
  }

  async #find(handle: string): Promise<Found | undefined> {
    this.#parts.assertOpen();
    for (const state of asideStates) {
      const found = await this.#parts.aside.find(handle, state);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** It is stored where it came from before it is removed; who does the same at the same time may store it a second time. */
  async #giveBack(
    found: Found,
    extras: Extras,
    envelope = found.stored.envelope,
  ): Promise<boolean> {
    const { outbound, aside } = this.#parts;
    const isBack = await outbound.giveBack(found.stored.address, envelope, extras);
    return isBack && (await aside.remove(found));
  }
}
