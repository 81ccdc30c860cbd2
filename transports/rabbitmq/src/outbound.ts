import {
  type Delivery,
  type Destination,
  type Outgoing,
  type Settlement,
  type Topology,
  type TransportHost,
  WaybillError,
} from "@waybill/core";
import { assertTimes, unheardFailure, unroutable } from "@waybill/core/adapter";
import type { Channel } from "amqplib";
import { DelayWays } from "./delay-ways.ts";
import type { AmqpDelivery } from "./delivery.ts";
import { type Extras, trims, writeMessage } from "./message.ts";
import type { Settings } from "./options.ts";
import type { Plan } from "./plan.ts";
import type { Parcel, Publisher } from "./publisher.ts";
import type { StreamDelivery } from "./streams/delivery.ts";
import { partitionOf } from "./streams/partition-of.ts";
import type { Streams } from "./streams/streams.ts";
import { type Names, type Way, quorum } from "./topology.ts";

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
  readonly streams: Pick<Streams, "partitions" | "knownPartitions">;
}

type Moved = Pick<Delivery, "envelope" | "position">;

interface Posted extends Parcel {
  readonly outgoing: Outgoing;
  /** It goes by what delays wait in. */
  readonly waits?: true;
}

/** Everything that leaves: what is sent, and what a settlement puts elsewhere. */
export class Outbound {
  readonly #parts: OutboundParts;
  readonly #ways: DelayWays;
  #isGiven = false;
  /** Topics that are known to have their exchange. */
  readonly #topics = new Set<string>();

  constructor(parts: OutboundParts) {
    this.#parts = parts;
    this.#ways = new DelayWays(parts);
  }

  /** Everything in the plan is there, and nothing more is to be made. */
  assume(plan: Plan): void {
    this.#isGiven = true;
    this.#ways.assume(plan);
  }

  learn({ topics }: Topology): void {
    for (const { name } of topics) this.#topics.add(name);
  }

  /** After a reconnect: others may have deleted what was there. */
  forget(): void {
    this.#ways.forget();
    this.#topics.clear();
  }

  /** After queues were made again. */
  rebind(topology: Topology): Promise<void> {
    return this.#ways.rebind(topology);
  }

  async send(batch: readonly Outgoing[]): Promise<void> {
    if (batch.length === 0) return;
    let parcels = await this.#postAll(batch);
    const publish = async (): Promise<readonly Posted[]> =>
      (await this.#parts.publisher.send(parcels)) as readonly Posted[];
    let returned = await this.#ways.mended(parcels.some(isWaiting), async (isAgain) => {
      // All of it is refused when an exchange is gone; what arrived of it then arrives twice.
      if (isAgain) parcels = await this.#postAll(batch);
      return publish();
    });
    const turnedBack = returned.filter(isWaiting);
    if (turnedBack.length > 0) {
      this.#ways.forget();
      parcels = await this.#postAll(turnedBack.map(({ outgoing }) => outgoing));
      returned = [...returned.filter((each) => !isWaiting(each)), ...(await publish())];
    }
    if (returned.length > 0) await this.#takeReturned(returned);
  }

  async #postAll(batch: readonly Outgoing[]): Promise<readonly Posted[]> {
    const now = this.#parts.host.environment.clock.now();
    const parcels: Posted[] = [];
    for (const outgoing of batch) {
      const posted = this.#post(outgoing, now);
      parcels.push(posted instanceof Promise ? await posted : posted);
    }
    return parcels;
  }

  /** At once, except for what must first be asked or made on the broker. */
  #post(outgoing: Outgoing, now: number): Posted | Promise<Posted> {
    const { to, envelope, notBefore = 0, notAfter, discardExpired } = outgoing;
    assertTimes(outgoing);
    if (to.kind === "topic" && !this.#topics.has(to.name))
      return this.#assertTopic(to).then(() => this.#post(outgoing, now));
    const { content, options } = writeMessage(
      envelope,
      { enqueuedAt: now, notAfter, discardExpired },
      this.#parts.settings.bodyBytesMax,
    );
    const { names } = this.#parts;
    const { type } = envelope.header;
    if (to.kind === "stream") {
      const partitions = this.#parts.streams.knownPartitions(to.name);
      if (partitions === undefined)
        return this.#assertStream(to).then(() => this.#post(outgoing, now));
      const key = names.partition(to.name, partitionOf(envelope.header, partitions));
      return { way: { exchange: "", key }, content, options, outgoing };
    }
    if (notBefore <= now) return { way: names.wayTo(to, type), content, options, outgoing };
    return this.#ways.to(notBefore - now, names.target(to, type)).then((way) => ({
      way,
      content,
      options,
      outgoing,
      waits: true,
    }));
  }

  /** A publish to an exchange that is not there would end the channel for everybody. */
  async #assertTopic(to: Destination): Promise<void> {
    if (!(await this.#parts.exists(this.#parts.names.exchange(to.name))))
      throw unroutable("RabbitMQ", to);
    this.#topics.add(to.name);
  }

  async #assertStream(to: Destination): Promise<void> {
    if ((await this.#parts.streams.partitions(to.name)) === undefined)
      throw unroutable("RabbitMQ", to);
  }

  async #takeReturned(returned: readonly Posted[]): Promise<void> {
    const lost = returned.find(({ outgoing }) => outgoing.to.kind !== "topic");
    if (lost !== undefined) throw unroutable("RabbitMQ", lost.outgoing.to);
    const now = this.#parts.host.environment.clock.now();
    const kept = returned.map(({ outgoing: { envelope, to } }) => ({
      way: { exchange: "", key: this.#parts.names.unrouted(to.name) },
      ...writeMessage(
        envelope,
        {
          enqueuedAt: now,
          failure: unheardFailure(to.name, envelope.header.type, now),
        },
        this.#parts.settings.bodyBytesMax,
      ),
    }));
    await this.sendParcels(kept);
    for (const { outgoing } of returned)
      this.#parts.host.unrouted(outgoing.envelope, outgoing.to.name);
  }

  /** Rejects with UNROUTABLE when no queue took the first. */
  async sendParcels(parcels: readonly Parcel[]): Promise<void> {
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
        const extras: Extras = {
          attempts: failed ? attempt : attempt - 1,
          failure: failed ? settlement.failure : delivery.failure,
          enqueuedAt,
          notAfter,
          discardExpired,
        };
        return this.#ways.mended(delayMs > 0, async () =>
          this.#put(await this.#wayBack(delayMs, queue), delivery, extras),
        );
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
        if (!this.#isGiven)
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

  /** The same for an item of a stream, which stays where it is. */
  async moveItem(item: StreamDelivery, settlement: Settlement, queue: string): Promise<void> {
    switch (settlement.kind) {
      case "complete":
        return this.send(settlement.send ?? []);
      case "deadLetter": {
        const { attempt: attempts, enqueuedAt } = item;
        const way = { exchange: "", key: this.#parts.names.dead(queue) };
        return this.#put(way, item, { attempts, failure: settlement.failure, enqueuedAt });
      }
      case "release":
        return;
      default:
        throw new WaybillError(
          "NOT_SUPPORTED",
          `An item of a stream cannot be settled with "${settlement.kind}", because the items behind it would overtake it. Wait in the handler and try again there, or settle it as a dead letter.`,
        );
    }
  }

  async #wayBack(delayMs: number, queue: string): Promise<Way> {
    return delayMs > 0
      ? this.#ways.to(delayMs, this.#parts.names.targetQueue(queue))
      : { exchange: "", key: queue };
  }

  /** What came must be able to go on, also where its producer left no room in the header for what is added. */
  async #put(way: Way, { envelope, position }: Moved, extras: Extras): Promise<void> {
    const { settings, host } = this.#parts;
    const whole: Extras = { ...extras, position, copy: host.environment.id() };
    for (const [at, trim] of trims.entries()) {
      const written = writeMessage(...trim(envelope, whole), settings.bodyBytesMax);
      try {
        return await this.sendParcels([{ way, ...written }]);
      } catch (error) {
        const isTooLarge = error instanceof WaybillError && error.code === "MESSAGE_INVALID";
        if (!isTooLarge || at === trims.length - 1) throw error;
      }
    }
  }
}

function isWaiting({ waits }: Posted): boolean {
  return waits === true;
}
