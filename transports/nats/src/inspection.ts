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
import { type AsideState, asideStates, PartialInspection, readHandle } from "@waybill/core/adapter";
import type { Addresses } from "./addresses.ts";
import type { Aside, Found } from "./aside.ts";
import type { Extras } from "./message.ts";
import type { Outbound } from "./outbound.ts";
import { type Groups, groupOf } from "./streams/groups.ts";

export interface InspectionParts {
  readonly addresses: Addresses;
  readonly aside: Aside;
  readonly outbound: Outbound;
  readonly groups: Groups;
  readonly assertOpen: () => void;
  /** Takes what is ready as a receiver would. */
  readonly drain: (address: string) => Promise<number>;
}

/** Pages whose ends are remembered. */
const endsMax = 1_000;

/** What JetStream lets an operator see and move: single messages, by their subject. */
export class NatsInspection extends PartialInspection {
  protected readonly limits = {
    cannot: "Over NATS, Waybill",
    instead: "Look at the stream with the nats command.",
  };
  readonly #parts: InspectionParts;
  /** By state and handle, where the last messages of the latest pages stood: what was removed since tells it no more. */
  readonly #ends = new Map<string, number>();

  constructor(parts: InspectionParts) {
    super();
    this.#parts = parts;
  }

  async addresses(): Promise<readonly AddressState[]> {
    this.#parts.assertOpen();
    return this.#parts.addresses.states();
  }

  async settings(): Promise<readonly AddressSettings[]> {
    this.#parts.assertOpen();
    return this.#parts.addresses.settings();
  }

  async groups(stream: string): Promise<readonly GroupState[]> {
    this.#parts.assertOpen();
    return this.#parts.groups.of(stream);
  }

  async seek(stream: string, group: string, to: SeekTarget): Promise<GroupState> {
    this.#parts.assertOpen();
    return this.#parts.groups.seek({ stream, group }, to);
  }

  async list({ state, address, after, limit }: ListQuery): Promise<readonly StoredMessage[]> {
    this.#parts.assertOpen();
    const { aside, addresses } = this.#parts;
    const wanted = this.asideOf(state);
    const from = after === undefined ? undefined : readHandle(after)?.address;
    const end = after === undefined ? 0 : await this.#endOf(after, wanted);
    const all = address === undefined ? await addresses.withAside(wanted) : [address];
    const listed: StoredMessage[] = [];
    for (const each of from === undefined ? all : all.filter((name) => name >= from)) {
      let sequence = each === from ? end + 1 : 1;
      while (listed.length < limit) {
        const found = await aside.next(each, wanted, sequence);
        if (found === undefined) break;
        listed.push(found.stored);
        sequence = found.sequence + 1;
        if (listed.length === limit) this.#noteEnd(found);
      }
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
      if (found !== undefined && (await this.#giveBack(found, {}))) replayed += 1;
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
    // It comes as the attempt that deferred it.
    const isBack = await this.#giveBack(found, { attempts: Math.max(0, attempt - 1), failure });
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
    return found !== undefined && (await this.#giveBack(found, {}, envelope));
  }

  async purge(address: string, state: PurgeState): Promise<number> {
    this.#parts.assertOpen();
    if (state === "scheduled") throw this.notSupported("purge scheduled messages");
    if (state === "ready" && groupOf(address) !== undefined)
      throw this.notSupported(
        `purge the items of a stream, which leave by retention ("${address}")`,
      );
    if (state === "ready") return this.#parts.drain(address);
    return this.#parts.aside.purge(address, state);
  }

  /** Zero where it is gone, and its page was another process's. */
  async #endOf(after: string, state: AsideState): Promise<number> {
    const last = await this.#parts.aside.find(after, state);
    return last?.sequence ?? this.#ends.get(`${state} ${after}`) ?? 0;
  }

  #noteEnd({ stored, sequence }: Found): void {
    const name = `${stored.state} ${stored.handle}`;
    // The newest stand at the end.
    this.#ends.delete(name);
    this.#ends.set(name, sequence);
    const [oldest] = this.#ends.keys();
    if (this.#ends.size > endsMax && oldest !== undefined) this.#ends.delete(oldest);
  }

  async #find(handle: string): Promise<Found | undefined> {
    this.#parts.assertOpen();
    for (const state of asideStates) {
      const found = await this.#parts.aside.find(handle, state);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** It is stored where it came from before it is removed; who does the same at the same time stores it under the same id, which is stored once. */
  async #giveBack(
    found: Found,
    extras: Extras,
    envelope = found.stored.envelope,
  ): Promise<boolean> {
    const { outbound, aside, groups } = this.#parts;
    const { stored, stream, sequence } = found;
    const sendId = `${stream}.${stored.enqueuedAt}.${sequence}`;
    const isBack =
      groupOf(stored.address) === undefined
        ? await outbound.giveBack(stored.address, envelope, { extras, sendId })
        : await groups.putBack(found, { envelope, sendId });
    return isBack && (await aside.remove(found));
  }
}
