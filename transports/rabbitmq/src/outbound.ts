import {
  type Destination,
  type Outgoing,
  type Settlement,
  type Topology,
  type TransportHost,
  WaybillError,
} from "@waybill/core";
import type { Channel } from "amqplib";
import { Delays, delayMsMax } from "./delays.ts";
import type { AmqpDelivery } from "./delivery.ts";
import { type Extras, writeMessage } from "./message.ts";
import type { Settings } from "./options.ts";
import type { Parcel, Publisher } from "./publisher.ts";
import { type Names, type Target, type Way, quorum } from "./topology.ts";

export interface OutboundParts {
  readonly names: Names;
  readonly publisher: Publisher;
  readonly settings: Settings;
  readonly host: TransportHost;
  /** Does something on a channel of its own. */
  readonly ask: <Result>(
    work: (channel: Channel) => Promise<Result>,
    doing: string,
  ) => Promise<Result>;
  readonly exists: (exchange: string) => Promise<boolean>;
}

interface Posted extends Parcel {
  readonly outgoing: Outgoing;
}

/** Everything that leaves: what is sent, and what a settlement puts elsewhere. */
export class Outbound {
  readonly #parts: OutboundParts;
  readonly #delays: Delays;
  /** Topics that are known to have their exchange. */
  readonly #topics = new Set<string>();

  constructor(parts: OutboundParts) {
    this.#parts = parts;
    this.#delays = new Delays(parts.names);
  }

  learn({ topics }: Topology): void {
    for (const { name } of topics) this.#topics.add(name);
  }

  /** After a reconnect: others may have deleted what was there. */
  forget(): void {
    this.#delays.forget();
    this.#topics.clear();
  }

  async send(batch: readonly Outgoing[]): Promise<void> {
    if (batch.length === 0) return;
    const now = this.#parts.host.environment.clock.now();
    const parcels: Posted[] = [];
    for (const outgoing of batch) {
      const posted = this.#post(outgoing, now);
      parcels.push(posted instanceof Promise ? await posted : posted);
    }
    const returned = await this.#parts.publisher.send(parcels);
    if (returned.length > 0) await this.#takeReturned(returned as readonly Posted[]);
  }

  /** At once, except for what must first be asked or made on the broker. */
  #post(outgoing: Outgoing, now: number): Posted | Promise<Posted> {
    const { to, envelope, notBefore = 0, notAfter, discardExpired } = outgoing;
    assertTimes(outgoing);
    if (to.kind === "stream") throw unroutable(to);
    if (to.kind === "topic" && !this.#topics.has(to.name))
      return this.#assertTopic(to).then(() => this.#post(outgoing, now));
    const { content, options } = writeMessage(
      envelope,
      { enqueuedAt: now, notAfter, discardExpired },
      this.#parts.settings.bodyBytesMax,
    );
    const { names } = this.#parts;
    const { type } = envelope.header;
    if (notBefore <= now) return { way: names.wayTo(to, type), content, options, outgoing };
    return this.#delayed(notBefore - now, names.target(to, type)).then((way) => ({
      way,
      content,
      options,
      outgoing,
    }));
  }

  async #delayed(delayMs: number, target: Target): Promise<Way> {
    if (delayMs > delayMsMax)
      throw new WaybillError(
        "NOT_SUPPORTED",
        `A delay of ${delayMs} ms is longer than the ${delayMsMax} ms that RabbitMQ's delay queues reach.`,
      );
    await this.#parts.ask((channel) => this.#delays.prepare(channel, delayMs, target), "Delaying");
    return this.#delays.way(delayMs, target);
  }

  /** A publish to an exchange that is not there would end the channel for everybody. */
  async #assertTopic(to: Destination): Promise<void> {
    if (!(await this.#parts.exists(this.#parts.names.exchange(to.name)))) throw unroutable(to);
    this.#topics.add(to.name);
  }

  async #takeReturned(returned: readonly Posted[]): Promise<void> {
    const lost = returned.find(({ outgoing }) => outgoing.to.kind !== "topic");
    if (lost !== undefined) throw unroutable(lost.outgoing.to);
    const now = this.#parts.host.environment.clock.now();
    const kept = returned.map(({ outgoing: { envelope, to } }) => ({
      way: { exchange: "", key: this.#parts.names.unrouted(to.name) },
      ...writeMessage(
        envelope,
        {
          enqueuedAt: now,
          failure: {
            reason: "SUBSCRIBER_MISSING",
            message: `No subscription of "${to.name}" takes "${envelope.header.type}".`,
            service: "",
            handler: "",
            attempts: 0,
            firstFailedAt: now,
            lastFailedAt: now,
          },
        },
        this.#parts.settings.bodyBytesMax,
      ),
    }));
    await this.#sendParcels(kept);
    for (const { outgoing } of returned)
      this.#parts.host.unrouted(outgoing.envelope, outgoing.to.name);
  }

  async #sendParcels(parcels: readonly Parcel[]): Promise<void> {
    const [lost] = await this.#parts.publisher.send(parcels);
    if (lost !== undefined)
      throw new WaybillError(
        "UNROUTABLE",
        `RabbitMQ has no queue "${lost.way.key}" any more. Start the service that declares it, then try again.`,
      );
  }

  /** Where what a settlement asks for is done by sending: resolves when it has arrived. */
  async move(delivery: AmqpDelivery, settlement: Settlement, queue: string): Promise<void> {
    const { read, attempt, enqueuedAt } = delivery;
    const { notAfter, discardExpired } = read;
    const { names } = this.#parts;
    switch (settlement.kind) {
      case "complete":
        return this.send(settlement.send ?? []);
      case "retry":
      case "release": {
        const { delayMs = 0 } = settlement;
        const failed = settlement.kind === "retry";
        return this.#put(await this.#wayBack(delayMs, queue), delivery, {
          attempts: failed ? attempt : attempt - 1,
          failure: failed ? settlement.failure : delivery.failure,
          enqueuedAt,
          notAfter,
          discardExpired,
        });
      }
      case "deadLetter": {
        const { failure } = settlement;
        // What expired was not handled this time.
        const attempts = failure.reason === "EXPIRED" ? attempt - 1 : attempt;
        const way = { exchange: "", key: names.dead(queue) };
        return this.#put(way, delivery, { attempts, failure, enqueuedAt });
      }
      case "defer": {
        const key = names.deferred(queue);
        await this.#parts.ask(
          (channel) => channel.assertQueue(key, { durable: true, arguments: quorum }),
          "Deferring",
        );
        const { failure } = delivery;
        return this.#put({ exchange: "", key }, delivery, {
          attempts: attempt,
          failure,
          enqueuedAt,
        });
      }
    }
  }

  async #wayBack(delayMs: number, queue: string): Promise<Way> {
    return delayMs > 0
      ? this.#delayed(delayMs, this.#parts.names.targetQueue(queue))
      : { exchange: "", key: queue };
  }

  #put(way: Way, { envelope }: AmqpDelivery, extras: Extras): Promise<void> {
    const written = writeMessage(envelope, extras, this.#parts.settings.bodyBytesMax);
    return this.#sendParcels([{ way, ...written }]);
  }
}

function unroutable({ kind, name }: Destination): WaybillError {
  return new WaybillError(
    "UNROUTABLE",
    `RabbitMQ has no ${kind} "${name}". Declare it by connecting a service that handles it, or correct the name.`,
  );
}

/** Throws MESSAGE_INVALID. */
function assertTimes({ notBefore, notAfter, envelope }: Outgoing): void {
  for (const moment of [notBefore, notAfter])
    if (moment !== undefined && !Number.isSafeInteger(Math.floor(moment)))
      throw new WaybillError(
        "MESSAGE_INVALID",
        `${envelope.header.type} ${envelope.header.id} is timed for ${moment}, which is no moment. Give milliseconds since 1970.`,
      );
}
