import {
  type Destination,
  type Envelope,
  type Outgoing,
  type TransportHost,
  WaybillError,
} from "@waybill/core";
import { assertTimes, unheardFailure, unroutable } from "@waybill/core/adapter";
import type { Aside } from "./aside.ts";
import { delayMsMax } from "./capabilities.ts";
import type { KafkaClient } from "./client.ts";
import type { Delays } from "./delays.ts";
import { type Extras, writeMessage } from "./message.ts";
import type { Parcel, Publisher } from "./publisher.ts";
import type { Registry } from "./registry.ts";
import { type Names, isOfStream } from "./topology.ts";

export interface OutboundParts {
  readonly client: KafkaClient;
  readonly names: Names;
  readonly publisher: Publisher;
  readonly registry: Registry;
  readonly aside: Aside;
  readonly delays: Delays;
  readonly host: TransportHost;
  readonly bodyBytesMax: number;
}

/** Where a destination lies. */
type Route = Pick<Parcel, "topic" | "partition"> & Pick<Extras, "to">;

/** Everything that is sent. */
export class Outbound {
  readonly #parts: OutboundParts;

  constructor(parts: OutboundParts) {
    this.#parts = parts;
  }

  async send(batch: readonly Outgoing[]): Promise<void> {
    const { publisher, host } = this.#parts;
    const now = host.environment.clock.now();
    const parcels: Parcel[] = [];
    const unheard: Outgoing[] = [];
    const names = new Map<Parcel, Destination>();
    for (const outgoing of batch) {
      const parcel = await this.#parcelOf(outgoing, now);
      if (await this.#isHeard(outgoing)) parcels.push(parcel);
      else unheard.push(outgoing);
      names.set(parcel, outgoing.to);
    }
    for (const outgoing of unheard) await this.#keep(outgoing, now);
    const [lost] = await publisher.send(parcels);
    const to = lost && names.get(lost);
    if (to !== undefined) throw unroutable("Kafka", to);
  }

  /** Puts one where it came from. False when there is nobody any more who would take it. */
  async giveBack(address: string, envelope: Envelope, extras: Extras): Promise<boolean> {
    const { names, registry, publisher, client, bodyBytesMax } = this.#parts;
    const slash = address.indexOf("/");
    const [topic, name] = [address.slice(0, slash), address.slice(slash + 1)];
    const { type } = envelope.header;
    let target = names.queueTopic(address);
    if (isOfStream(address)) target = names.returnsTopic(address);
    else if (slash >= 0 && name === "") {
      if (!(await registry.isTaken(topic, type))) return false;
      target = names.eventTopic(topic);
    } else if (slash >= 0) {
      if (!(await registry.takes(topic, name, type))) return false;
      target = names.place({ kind: "subscription", topic, name }).returns;
    }
    if ((await client.topic(target)) === undefined) return false;
    const written = writeMessage(envelope, { ...extras, expiryLifted: true }, bodyBytesMax);
    return (await publisher.send([{ topic: target, ...written }])).length === 0;
  }

  async #parcelOf(outgoing: Outgoing, now: number): Promise<Parcel> {
    const { to, envelope, notBefore = 0, notAfter, discardExpired } = outgoing;
    const { bodyBytesMax, delays } = this.#parts;
    assertTimes(outgoing);
    const route = await this.#routeOf(to);
    const extras = { notAfter: floored(notAfter), discardExpired, to: route.to };
    const { topic, partition } = route;
    const parcel = {
      topic,
      ...(partition !== undefined && { partition }),
      ...writeMessage(envelope, extras, bodyBytesMax),
    };
    const due = Math.ceil(notBefore);
    if (due <= now) return parcel;
    if (due - now > delayMsMax)
      throw new WaybillError(
        "NOT_SUPPORTED",
        `A delay of ${due - now} ms is longer than the ${delayMsMax} ms that are held back on Kafka.`,
      );
    return delays.wrap(parcel, due);
  }

  async #routeOf(to: Destination): Promise<Route> {
    const { names, client } = this.#parts;
    if (to.kind === "stream") return { topic: names.streamTopic(to.name) };
    if (to.kind === "topic") {
      const topic = names.eventTopic(to.name);
      if ((await client.topic(topic)) === undefined) throw unroutable("Kafka", to);
      return { topic };
    }
    const topic = names.queueTopic(to.name);
    const temporary = this.#parts.registry.knownTemporary(to.name);
    if (temporary === undefined && (await client.topic(topic)) !== undefined) return { topic };
    const found = await this.#parts.registry.temporaryQueue(to.name);
    if (found === undefined) throw unroutable("Kafka", to);
    return { topic: names.repliesTopic, partition: found.partition, to: to.name };
  }

  async #isHeard({ to, envelope }: Outgoing): Promise<boolean> {
    if (to.kind !== "topic") return true;
    return this.#parts.registry.isTaken(to.name, envelope.header.type);
  }

  async #keep({ to, envelope }: Outgoing, now: number): Promise<void> {
    const { aside, host } = this.#parts;
    const failure = unheardFailure(to.name, envelope.header.type, now);
    const extras = { failure, enqueuedAt: now };
    const token = host.environment.id();
    await aside.lay({ address: `${to.name}/`, state: "dead", token, envelope, extras });
    host.unrouted(envelope, to.name);
  }
}

function floored(moment: number | undefined): number | undefined {
  return moment === undefined ? undefined : Math.floor(moment);
}
