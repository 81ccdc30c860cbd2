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
  type Topology,
  WaybillError,
  type Whereabouts,
} from "@waybill/core";
import { type AsideState, addressIn, asideStates, byAddress } from "./handles.ts";
import { writeMessage } from "./message.ts";
import { type Found, type LookParts, Looks, queueOf } from "./looks.ts";
import { type Place, placesIn } from "./places.ts";
import type { Parcel } from "./publisher.ts";

export interface InspectionParts extends LookParts {
  readonly bodyBytesMax: number;
  readonly assertOpen: () => void;
  /** Answers whether queues took all of them. */
  readonly send: (parcels: readonly Parcel[]) => Promise<boolean>;
  readonly declared: () => readonly Topology[];
}

/** What AMQP lets an operator see and move. */
export class RabbitmqInspection implements Inspection {
  readonly #parts: InspectionParts;
  readonly #looks: Looks;

  constructor(parts: InspectionParts) {
    this.#parts = parts;
    this.#looks = new Looks(parts);
  }

  /** What this process has declared: AMQP has no list of queues. */
  async addresses(): Promise<readonly AddressState[]> {
    this.#parts.assertOpen();
    const { names } = this.#parts;
    const states: AddressState[] = [];
    for (const place of placesIn(this.#parts.declared(), this.#parts.names)) {
      const { queue, dead } = place;
      const main = queue === undefined ? undefined : await this.#looks.counts(queue);
      const aside = await this.#looks.counts(dead);
      const deferred =
        queue === undefined ? undefined : await this.#looks.counts(names.deferred(queue));
      states.push({
        ...settingsOf(place),
        ready: main?.messageCount ?? 0,
        // AMQP has no numbers for these.
        inFlight: undefined,
        scheduled: undefined,
        oldestReadyMs: undefined,
        deferred: deferred?.messageCount ?? 0,
        dead: aside?.messageCount ?? 0,
        receivers: main?.consumerCount ?? 0,
      });
    }
    return states;
  }

  async settings(): Promise<readonly AddressSettings[]> {
    this.#parts.assertOpen();
    return Promise.resolve(placesIn(this.#parts.declared(), this.#parts.names).map(settingsOf));
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
    return Promise.reject(notSupported("tell of streams"));
  }

  seek(): Promise<GroupState> {
    return Promise.reject(notSupported("move a group of a stream"));
  }

  async list({ state, address, after, limit }: ListQuery): Promise<readonly StoredMessage[]> {
    this.#parts.assertOpen();
    const aside = asideOf(state);
    const listed: StoredMessage[] = [];
    let begun = after === undefined;
    for (const place of this.#addressesFor(address, after)) {
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
      async ({ stored, read: { envelope, enqueuedAt } }) => {
        const written = writeMessage(envelope, { enqueuedAt }, this.#parts.bodyBytesMax);
        return this.#parts.send([{ way: this.#wayBack(stored), ...written }]);
      },
    );
  }

  async resumeDeferred(handle: string): Promise<Resumed> {
    const resumed = await this.#takeOut([handle], ["deferred"], async ({ stored, read }) => {
      const { envelope, enqueuedAt, failure } = read;
      // It comes as the attempt that deferred it.
      const extras = { enqueuedAt, failure, attempts: Math.max(0, stored.attempt - 1) };
      const written = writeMessage(envelope, extras, this.#parts.bodyBytesMax);
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
    const replaced = await this.#takeOut([handle], asideStates, async ({ stored }) => {
      const enqueuedAt = this.#parts.environment.clock.now();
      const written = writeMessage(envelope, { enqueuedAt }, this.#parts.bodyBytesMax);
      return this.#parts.send([{ way: this.#wayBack(stored), ...written }]);
    });
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

  /** What waits for its time lies in queues that many addresses share. */
  cancel(): Promise<number> {
    return Promise.reject(notSupported("take back scheduled messages"));
  }

  async purge(address: string, state: PurgeState): Promise<number> {
    this.#parts.assertOpen();
    if (state === "scheduled") throw notSupported(`purge scheduled messages`);
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

  #wayBack({ address, envelope }: StoredMessage): Parcel["way"] {
    const { names } = this.#parts;
    return address.endsWith("/")
      ? { exchange: names.exchange(address.slice(0, -1)), key: envelope.header.type }
      : { exchange: "", key: names.queue(address) };
  }

  #addressesFor(address: string | undefined, after: string | undefined): readonly string[] {
    if (address !== undefined) return [address];
    const all = placesIn(this.#parts.declared(), this.#parts.names).map((place) => place.address);
    const begin = after === undefined ? -1 : all.indexOf(addressIn(after) ?? "");
    return begin < 0 ? all : all.slice(begin);
  }
}

/** RabbitMQ keeps none of them. */
function settingsOf({ address, kind, temporary }: Place): AddressSettings {
  return {
    address,
    kind,
    temporary,
    paused: undefined,
    forwardsTo: undefined,
    deadLettersTo: undefined,
  };
}

function asideOf(state: MessageState): AsideState {
  if (state === "dead" || state === "deferred") return state;
  throw notSupported(`list messages that are ${state}`);
}

function notSupported(what: string): WaybillError {
  return new WaybillError(
    "NOT_SUPPORTED",
    `RabbitMQ cannot ${what}. Look at the queue in RabbitMQ's management page.`,
  );
}
