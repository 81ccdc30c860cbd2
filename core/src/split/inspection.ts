import type { Envelope } from "../envelope.ts";
import { WaybillError } from "../errors.ts";
import type {
  AddressSettings,
  AddressState,
  GroupState,
  Inspection,
  LedgerEntry,
  ListQuery,
  PurgeState,
  Resumed,
  SeekTarget,
  StoredMessage,
  Whereabouts,
} from "../ports/transport.ts";
import { Handles } from "./handles.ts";
import type { Broker, Homes } from "./homes.ts";

/** Looks into several brokers as if they were one. A handle says of which it is; what is of no address is asked of each. */
export class SplitInspection implements Inspection {
  readonly #homes: Homes;
  readonly #handles: Handles;

  constructor(homes: Homes) {
    this.#homes = homes;
    this.#handles = new Handles(homes);
  }

  addresses(): Promise<readonly AddressState[]> {
    return this.#ofEach((inspection) => inspection.addresses());
  }

  settings(): Promise<readonly AddressSettings[]> {
    return this.#ofEach((inspection) => inspection.settings());
  }

  pause(address: string, reason: string): Promise<void> {
    return this.#at(address, (inspection) => inspection.pause(address, reason));
  }

  resume(address: string): Promise<boolean> {
    return this.#at(address, (inspection) => inspection.resume(address));
  }

  /** Oldest first of one broker, then of the next. */
  async list(query: ListQuery): Promise<readonly StoredMessage[]> {
    const { after, limit, ...rest } = query;
    const from = after === undefined ? undefined : this.#handles.read(after);
    const asked = this.#asked(query.address);
    const begin = from === undefined ? 0 : asked.indexOf(from.broker);
    const found: StoredMessage[] = [];
    for (const broker of begin === -1 ? [] : asked.slice(begin)) {
      const isFirst = broker === from?.broker;
      const page = await broker.transport.inspection.list({
        ...rest,
        limit: limit - found.length,
        ...(isFirst && { after: from?.handle ?? "" }),
      });
      found.push(...page.map((message) => this.#named(broker, message)));
      if (found.length >= limit) break;
    }
    return found;
  }

  replay(handles: readonly string[]): Promise<number> {
    return this.#sum(handles, (inspection, own) => inspection.replay(own));
  }

  discard(handles: readonly string[]): Promise<number> {
    return this.#sum(handles, (inspection, own) => inspection.discard(own));
  }

  async resumeDeferred(handle: string): Promise<Resumed> {
    const read = this.#handles.read(handle);
    return read === undefined
      ? "gone"
      : read.broker.transport.inspection.resumeDeferred(read.handle);
  }

  async get(handle: string): Promise<StoredMessage | undefined> {
    const read = this.#handles.read(handle);
    const found = await read?.broker.transport.inspection.get(read.handle);
    return read === undefined || found === undefined ? undefined : this.#named(read.broker, found);
  }

  async follow(handles: readonly string[]): Promise<readonly Whereabouts[]> {
    const answers = new Map<string, Whereabouts>();
    for (const [broker, own] of this.#handles.byBroker(handles)) {
      const found = await broker.transport.inspection.follow(own);
      for (const [index, handle] of own.entries())
        answers.set(this.#handles.of(broker, handle), found[index] ?? "gone");
    }
    return handles.map((handle) => {
      const read = this.#handles.read(handle);
      return read === undefined
        ? "gone"
        : (answers.get(this.#handles.of(read.broker, read.handle)) ?? "gone");
    });
  }

  async cancel(ids: readonly string[], address?: string): Promise<number> {
    let count = 0;
    for (const { transport } of this.#asked(address))
      count += await transport.inspection.cancel(ids, address);
    return count;
  }

  purge(address: string, state: PurgeState): Promise<number> {
    return this.#at(address, (inspection) => inspection.purge(address, state));
  }

  async replace(handle: string, envelope: Envelope): Promise<boolean> {
    const read = this.#handles.read(handle);
    if (read === undefined) return false;
    return read.broker.transport.inspection.replace(read.handle, envelope);
  }

  /** Of the brokers that keep books. Rejects with NOT_SUPPORTED where none does. */
  async ledger(): Promise<readonly LedgerEntry[]> {
    const keeping = this.#homes.brokers.filter(
      ({ transport }) => transport.capabilities.conservation !== "none",
    );
    const asked = keeping.length === 0 ? this.#homes.brokers : keeping;
    const all = await Promise.all(asked.map(({ transport }) => transport.inspection.ledger()));
    return all.flat();
  }

  groups(stream: string): Promise<readonly GroupState[]> {
    return this.#homes.of("stream").transport.inspection.groups(stream);
  }

  seek(stream: string, group: string, to: SeekTarget): Promise<GroupState> {
    return this.#homes.of("stream").transport.inspection.seek(stream, group, to);
  }

  async #ofEach<Found>(
    ask: (inspection: Inspection) => Promise<readonly Found[]>,
  ): Promise<readonly Found[]> {
    const all = await Promise.all(
      this.#homes.brokers.map(({ transport }) => ask(transport.inspection)),
    );
    return all.flat();
  }

  #named(broker: Broker, message: StoredMessage): StoredMessage {
    return { ...message, handle: this.#handles.of(broker, message.handle) };
  }

  /** Who may have the address. */
  #asked(address: string | undefined): readonly Broker[] {
    const home = address === undefined ? undefined : this.#homes.ofAddress(address);
    return home === undefined ? this.#homes.brokers : [home];
  }

  /** At the first broker that has the address. */
  async #at<Result>(
    address: string,
    act: (inspection: Inspection) => Promise<Result>,
  ): Promise<Result> {
    let missing: unknown;
    for (const { transport } of this.#asked(address)) {
      try {
        return await act(transport.inspection);
      } catch (error) {
        if (!(error instanceof WaybillError && error.code === "NOT_FOUND")) throw error;
        missing = error;
      }
    }
    throw missing;
  }

  async #sum(
    handles: readonly string[],
    act: (inspection: Inspection, own: readonly string[]) => Promise<number>,
  ): Promise<number> {
    let count = 0;
    for (const [{ transport }, own] of this.#handles.byBroker(handles))
      count += await act(transport.inspection, own);
    return count;
  }
}
