import { type AddressSettings, type AddressState, type Topology, addressOf } from "@waybill/core";
import { byAddress, plainSettings } from "@waybill/core/adapter";
import type { Looks } from "./looks.ts";
import { type Declared, type Place, placesIn } from "./places.ts";
import type { Streams } from "./streams/streams.ts";
import type { Names } from "./topology.ts";

export interface StandingParts {
  readonly names: Names;
  readonly looks: Looks;
  readonly streams: Streams;
  readonly declared: () => readonly Topology[];
  /** Of all processes; what was deleted since may be among it. */
  readonly known: () => Promise<Declared>;
}

/** A group of a stream. */
interface GroupPlace {
  readonly stream: string;
  readonly group: string;
  readonly address: string;
}

/** What stands at every address that a process of this system has declared: AMQP has no list of queues. */
export class Standing {
  readonly #parts: StandingParts;

  constructor(parts: StandingParts) {
    this.#parts = parts;
  }

  async states(): Promise<readonly AddressState[]> {
    const states: AddressState[] = [];
    for (const place of await this.#places()) states.push(await this.#stateOf(place));
    for (const stream of await this.#streams()) states.push(...(await this.#groupStates(stream)));
    return states.toSorted(byAddress);
  }

  async settings(): Promise<readonly AddressSettings[]> {
    const groups = await this.#groups();
    const settings = groups.map(({ address }) => plainSettings({ address, kind: "stream" }));
    return [...(await this.#places()).map(plainSettings), ...settings].toSorted(byAddress);
  }

  /** Where dead letters may lie; also where nothing is any more. */
  async addresses(): Promise<readonly string[]> {
    const { declared, known, names } = this.#parts;
    const places = placesIn([...declared(), await known()], names);
    return [...places, ...(await this.#groups())].map(({ address }) => address).toSorted();
  }

  /** A group's items stand in its stream. */
  async isGroup(address: string): Promise<boolean> {
    return (await this.#streams()).some((stream) => address.startsWith(`${stream}@`));
  }

  async #stateOf(place: Place): Promise<AddressState> {
    const { looks, names } = this.#parts;
    const { queue, dead } = place;
    const main = queue === undefined ? undefined : await looks.counts(queue);
    const aside = await looks.counts(dead);
    const deferred = queue === undefined ? undefined : await looks.counts(names.deferred(queue));
    return {
      ...plainSettings(place),
      ...unknown,
      ready: main?.messageCount ?? 0,
      deferred: deferred?.messageCount ?? 0,
      dead: aside?.messageCount ?? 0,
      receivers: main?.consumerCount ?? 0,
    };
  }

  async #groupStates(stream: string): Promise<readonly AddressState[]> {
    const { looks, names, streams } = this.#parts;
    const states: AddressState[] = [];
    for (const { group, partitions } of await streams.groups(stream)) {
      const queue = names.group(stream, group);
      const replayed = await looks.counts(queue);
      const aside = await looks.counts(names.dead(queue));
      const lag = partitions.reduce((sum, each) => sum + each.lag, 0);
      states.push({
        ...plainSettings({
          address: addressOf({ kind: "stream", name: stream, group }),
          kind: "stream",
        }),
        ...unknown,
        ready: lag + (replayed?.messageCount ?? 0),
        deferred: 0,
        dead: aside?.messageCount ?? 0,
        receivers: streams.receiversOf(stream, group),
      });
    }
    return states;
  }

  async #groups(): Promise<readonly GroupPlace[]> {
    const places: GroupPlace[] = [];
    for (const stream of await this.#streams())
      for (const group of await this.#parts.streams.groupNames(stream))
        places.push({
          stream,
          group,
          address: addressOf({ kind: "stream", name: stream, group }),
        });
    return places;
  }

  /** Its own are there, or are made again; those of others only where nobody has deleted them. */
  async #places(): Promise<readonly Place[]> {
    const { declared, known, names, looks } = this.#parts;
    const own = new Set(placesIn(declared(), names).map(({ address }) => address));
    const places: Place[] = [];
    for (const place of placesIn([...declared(), await known()], names))
      if (own.has(place.address) || (await looks.counts(place.dead)) !== undefined)
        places.push(place);
    return places;
  }

  async #streams(): Promise<readonly string[]> {
    const { known, streams } = this.#parts;
    const all = new Set(this.#ownStreams());
    for (const { name } of (await known()).streams)
      if (!all.has(name) && (await streams.partitions(name)) !== undefined) all.add(name);
    return [...all];
  }

  #ownStreams(): readonly string[] {
    const names = this.#parts.declared().flatMap(({ streams }) => streams.map(({ name }) => name));
    return [...new Set(names)];
  }
}

/** AMQP has no numbers for these. */
const unknown = { inFlight: undefined, scheduled: undefined, oldestReadyMs: undefined } as const;
