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
  Topology,
  Whereabouts,
} from "@waybill/core";
import { type AsideState, asideStates, PartialInspection } from "@waybill/core/adapter";
import { addressIn, byAddress } from "./handles.ts";
import { type Extras, type Written, writeMessage } from "./message.ts";
import { type Found, type LookParts, Looks, queueOf } from "./looks.ts";
import type { Declared } from "./places.ts";
import type { Parcel } from "./publisher.ts";
import { Standing } from "./standing.ts";
import type { Streams } from "./streams/streams.ts";

export interface InspectionParts extends LookParts {
  readonly bodyBytesMax: number;
  readonly assertOpen: () => void;
  /** Answers whether queues took all of them. */
  readonly send: (parcels: readonly Parcel[]) => Promise<boolean>;
  readonly declared: () => readonly Topology[];
  /** Of all processes. */
  readonly known: () => Promise<Declared>;
  readonly streams: Streams;
}

/** What AMQP lets an operator see and move. */
export class RabbitmqInspection extends PartialInspection {
  protected readonly limits = {
    cannot: "RabbitMQ",
    instead: "Look at the queue in RabbitMQ's management page.",
  };
  readonly #parts: InspectionParts;
  readonly #looks: Looks;
  readonly #standing: Standing;

  constructor(parts: InspectionParts) {
    super();
    this.#parts = parts;
    this.#looks = new Looks(parts);
    this.#standing = new Standing({ ...parts, looks: this.#looks });
  }

  async addresses(): Promise<readonly AddressState[]> {
    this.#parts.assertOpen();
    return this.#standing.states();
  }

  async settings(): Promise<readonly AddressSettings[]> {
    this.#parts.assertOpen();
    return this.#standing.settings();
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
    const aside = this.asideOf(state);
    const listed: StoredMessage[] = [];
    let begun = after === undefined;
    for (const place of await this.#addressesFor(address, after)) {
      if (listed.length >= limit) break;
      await this.#looks.visit(place, aside, (found) => {
        if (begun && listed.length < limit) listed.push(found.stored);
        else if (found.stored.handle === after) begun = true;
        return "keep";
      });
      // The one after which to begin is gone: what follows it in its queue cannot be told from what came before.
      begun = true;
    }
    return listed;
  }

  async replay(handles: readonly string[]): Promise<number> {
    return this.#takeOut(
      handles,
      asideStates,
      async ({ stored, read: { envelope, enqueuedAt, position } }) => {
        const written = this.#write(envelope, { enqueuedAt, position });
        return this.#parts.send([{ way: this.#wayBack(stored), ...written }]);
      },
    );
  }

  async resumeDeferred(handle: string): Promise<Resumed> {
    const resumed = await this.#takeOut([handle], ["deferred"], async ({ stored, read }) => {
      const { envelope, enqueuedAt, failure } = read;
      // It comes as the attempt that deferred it.
      const extras = { enqueuedAt, failure, attempts: Math.max(0, stored.attempt - 1) };
      const written = this.#write(envelope, extras);
      return this.#parts.send([{ way: this.#wayBack(stored), ...written }]);
    });
    if (resumed === 1) return "resumed";
    return (await this.get(handle)) === undefined ? "gone" : "dead";
  }

  async get(handle: string): Promise<StoredMessage | undefined> {
    this.#parts.assertOpen();
    const address = addressIn(handle);
    let got: StoredMessage | undefined;
    for (const state of address === undefined ? [] : asideStates)
      await this.#looks.visit(address ?? "", state, ({ stored }) => {
        if (stored.handle === handle) got = stored;
        return "keep";
      });
    return got;
  }

  async discard(handles: readonly string[]): Promise<number> {
    return this.#takeOut(handles, asideStates, () => Promise.resolve(true));
  }

  async replace(handle: string, envelope: Envelope): Promise<boolean> {
    const replaced = await this.#takeOut(
      [handle],
      asideStates,
      async ({ stored, read: { position } }) => {
        const enqueuedAt = this.#parts.environment.clock.now();
        const written = this.#write(envelope, { enqueuedAt, position });
        return this.#parts.send([{ way: this.#wayBack(stored), ...written }]);
      },
    );
    return replaced === 1;
  }

  async follow(handles: readonly string[]): Promise<readonly Whereabouts[]> {
    this.#parts.assertOpen();
    const places = new Map<string, Whereabouts>();
    for (const [address, wanted] of byAddress(handles))
      for (const state of asideStates)
        await this.#looks.visit(address, state, ({ stored }) => {
          if (wanted.has(stored.handle)) places.set(stored.handle, state);
          return "keep";
        });
    return handles.map((handle) => places.get(handle) ?? "gone");
  }

  async purge(address: string, state: PurgeState): Promise<number> {
    this.#parts.assertOpen();
    if (state === "scheduled") throw this.notSupported("purge scheduled messages");
    if (state === "ready" && (await this.#standing.isGroup(address)))
      throw this.notSupported("purge the items of a stream, which leave by retention");
    const queue = queueOf(this.#parts.names, address, state);
    const { messageCount } = await this.#parts.channel((channel) => channel.purgeQueue(queue));
    return messageCount;
  }

  /** Answers how many were taken away: those for which `act` says so. */
  async #takeOut(
    handles: readonly string[],
    states: readonly AsideState[],
    act: (found: Found) => Promise<boolean>,
  ): Promise<number> {
    this.#parts.assertOpen();
    let taken = 0;
    for (const [address, wanted] of byAddress(handles))
      for (const state of states)
        await this.#looks.visit(address, state, async (found) => {
          if (!wanted.has(found.stored.handle) || !(await act(found))) return "keep";
          wanted.delete(found.stored.handle);
          taken += 1;
          return "take";
        });
    return taken;
  }

  #write(envelope: Envelope, extras: Extras): Written {
    const { environment, bodyBytesMax } = this.#parts;
    return writeMessage(envelope, { ...extras, copy: environment.id() }, bodyBytesMax);
  }

  #wayBack({ address, envelope }: StoredMessage): Parcel["way"] {
    const { names } = this.#parts;
    return address.endsWith("/")
      ? { exchange: names.exchange(address.slice(0, -1)), key: envelope.header.type }
      : { exchange: "", key: names.queue(address) };
  }

  async #addressesFor(
    address: string | undefined,
    after: string | undefined,
  ): Promise<readonly string[]> {
    if (address !== undefined) return [address];
    const all = await this.#standing.addresses();
    const begin = after === undefined ? -1 : all.indexOf(addressIn(after) ?? "");
    return begin < 0 ? all : all.slice(begin);
  }
}
