import { type AddressSettings, type AddressState, WaybillError, addressOf } from "@waybill/core";
import { type AsideState, asideStates, byAddress, plainSettings } from "@waybill/core/adapter";
import type { StreamInfo } from "@nats-io/jetstream";
import { brokerError } from "./errors.ts";
import type { Link } from "./link.ts";
import type { Groups } from "./streams/groups.ts";
import type { Names, Place } from "./topology.ts";

export interface AddressParts {
  readonly link: Link;
  readonly names: Names;
  readonly groups: Groups;
}

interface Counted {
  readonly place: Omit<Place, "kind" | "consumer"> & { readonly kind: AddressState["kind"] };
  readonly ready: number;
}

/** Every address that there is, whoever declared it: the names of streams and consumers say it. */
export class Addresses {
  readonly #parts: AddressParts;

  constructor(parts: AddressParts) {
    this.#parts = parts;
  }

  async states(): Promise<readonly AddressState[]> {
    const streams = await this.#streams();
    const aside = new Map<string, number>();
    for (const { config, state } of streams) {
      const read = this.#parts.names.read(config.name);
      if (isAside(read?.kind)) aside.set(`${read?.kind} ${read?.name}`, state.messages);
    }
    const states: AddressState[] = [];
    const groups = await this.#groups();
    for (const { place, ready } of [...(await this.#counted(streams)), ...groups])
      states.push({
        ...plainSettings(place),
        ready,
        // What waits for its time or its retry counts as being acknowledged, and JetStream does not know its receivers.
        inFlight: undefined,
        scheduled: undefined,
        oldestReadyMs: undefined,
        receivers: undefined,
        deferred: aside.get(`deferred ${place.address}`) ?? 0,
        dead: aside.get(`dead ${place.address}`) ?? 0,
      });
    return states;
  }

  async settings(): Promise<readonly AddressSettings[]> {
    const counted = await this.#counted(await this.#streams());
    return [...counted, ...(await this.#groups())].map(({ place }) => plainSettings(place));
  }

  async #groups(): Promise<readonly Counted[]> {
    const depths = await this.#parts.groups.depths();
    return depths.map(({ address, ready }) => ({
      ready,
      place: { address, kind: "stream", stream: "", temporary: false },
    }));
  }

  /** Addresses of which something was ever set aside, in the order of their names. */
  async withAside(state: AsideState): Promise<readonly string[]> {
    const found: string[] = [];
    for (const { config } of await this.#streams()) {
      const read = this.#parts.names.read(config.name);
      if (read?.kind === state) found.push(read.name);
    }
    return found.toSorted();
  }

  /** Rejects with NOT_FOUND. */
  async placeOf(address: string): Promise<Counted["place"]> {
    const counted = await this.#counted(await this.#streams());
    const found = counted.find(({ place }) => place.address === address)?.place;
    if (found !== undefined) return found;
    throw new WaybillError("NOT_FOUND", `NATS has no address "${address}". Correct the name.`);
  }

  async #streams(): Promise<readonly StreamInfo[]> {
    const streams: StreamInfo[] = [];
    try {
      for await (const stream of this.#parts.link.jetstream.streams.list()) streams.push(stream);
    } catch (error) {
      throw brokerError("Listing what there is", error);
    }
    return streams;
  }

  async #counted(streams: readonly StreamInfo[]): Promise<readonly Counted[]> {
    const { link, names } = this.#parts;
    const counted: Counted[] = [];
    for (const { config } of streams) {
      const read = names.read(config.name);
      if (read === undefined || !["queue", "temporary", "event"].includes(read.kind)) continue;
      const { name } = read;
      const temporary = read.kind === "temporary";
      if (read.kind === "event")
        counted.push({
          place: { address: `${name}/`, kind: "topic", stream: config.name, temporary },
          ready: 0,
        });
      for await (const consumer of link.jetstream.consumers.list(config.name)) {
        const isQueue = read.kind !== "event";
        const address = isQueue
          ? name
          : addressOf({
              kind: "subscription",
              topic: name,
              name: names.consumerName(consumer.name),
            });
        counted.push({
          place: {
            address,
            kind: isQueue ? "queue" : "subscription",
            stream: config.name,
            temporary: temporary || (consumer.config.inactive_threshold ?? 0) > 0,
          },
          ready: consumer.num_pending,
        });
      }
    }
    return counted.toSorted((one, other) => byAddress(one.place, other.place));
  }
}

function isAside(kind: string | undefined): boolean {
  return asideStates.some((state) => state === kind);
}
