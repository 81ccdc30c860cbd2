import {
  type AddressSettings,
  type AddressState,
  type Envelope,
  type GroupState,
  type Inspection,
  type LedgerEntry,
  type ListQuery,
  type MessageState,
  type PurgeState,
  type Resumed,
  type StoredMessage,
  WaybillError,
  type Whereabouts,
} from "@waybill/core";
import type { Addresses } from "./addresses.ts";
import type { Aside, Found } from "./aside.ts";
import { type AsideState, asideStates, readHandle } from "./handles.ts";
import type { Extras } from "./message.ts";
import type { Outbound } from "./outbound.ts";

export interface InspectionParts {
  readonly addresses: Addresses;
  readonly aside: Aside;
  readonly outbound: Outbound;
  readonly assertOpen: () => void;
  /** Takes what is ready as a receiver would. */
  readonly drain: (address: string) => Promise<number>;
}

/** What JetStream lets an operator see and move: single messages, by their subject. */
export class NatsInspection implements Inspection {
  readonly #parts: InspectionParts;

  constructor(parts: InspectionParts) {
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

  pause(): Promise<void> {
    return Promise.reject(notSupported("pause a queue for all processes"));
  }

  resume(): Promise<boolean> {
    return Promise.reject(notSupported("pause a queue for all processes"));
  }

  ledger(): Promise<readonly LedgerEntry[]> {
    return Promise.reject(notSupported("keep books"));
  }

  groups(): Promise<readonly GroupState[]> {
    return Promise.reject(notSupported("tell of groups"));
  }

  seek(): Promise<GroupState> {
    return Promise.reject(notSupported("move a group"));
  }

  async list({ state, address, after, limit }: ListQuery): Promise<readonly StoredMessage[]> {
    this.#parts.assertOpen();
    const { aside, addresses } = this.#parts;
    const wanted = asideOf(state);
    const from = after === undefined ? undefined : readHandle(after)?.address;
    const last = after === undefined ? undefined : await aside.find(after, wanted);
    const all = address === undefined ? await addresses.withAside(wanted) : [address];
    const listed: StoredMessage[] = [];
    for (const each of from === undefined ? all : all.filter((name) => name >= from)) {
      let sequence = each === from && last !== undefined ? last.sequence + 1 : 1;
      while (listed.length < limit) {
        const found = await aside.next(each, wanted, sequence);
        if (found === undefined) break;
        listed.push(found.stored);
        sequence = found.sequence + 1;
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

  /** What waits for its time is not told apart from what waits for its retry. */
  cancel(): Promise<number> {
    return Promise.reject(notSupported("take back scheduled messages"));
  }

  async purge(address: string, state: PurgeState): Promise<number> {
    this.#parts.assertOpen();
    if (state === "scheduled") throw notSupported("purge scheduled messages");
    if (state === "ready") return this.#parts.drain(address);
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

  /** It is stored where it came from before it is removed; who does the same at the same time stores it under the same id, which is stored once. */
  async #giveBack(
    found: Found,
    extras: Extras,
    envelope = found.stored.envelope,
  ): Promise<boolean> {
    const { outbound, aside } = this.#parts;
    const { stored, stream, sequence } = found;
    const sendId = `${stream}.${stored.enqueuedAt}.${sequence}`;
    const isBack = await outbound.giveBack(stored.address, envelope, { extras, sendId });
    return isBack && (await aside.remove(found));
  }
}

function asideOf(state: MessageState): AsideState {
  if (state === "dead" || state === "deferred") return state;
  throw notSupported(`list messages that are ${state}`);
}

function notSupported(what: string): WaybillError {
  return new WaybillError(
    "NOT_SUPPORTED",
    `Over NATS, Waybill cannot ${what}. Look at the stream with the nats command.`,
  );
}
