import { type Envelope, type Outgoing, type TransportHost, WaybillError } from "@waybill/core";
import { assertTimes, unheardFailure, unroutable } from "@waybill/core/adapter";
import type { Aside } from "./aside.ts";
import { capabilitiesOf } from "./capabilities.ts";
import type { Interest } from "./interest.ts";
import { type Extras, writeMessage } from "./message.ts";
import type { Parcel, Publisher } from "./publisher.ts";
import { type Logs, partitionOf } from "./streams/logs.ts";
import type { Names } from "./topology.ts";

export interface OutboundParts {
  readonly names: Names;
  readonly publisher: Publisher;
  readonly interest: Interest;
  readonly aside: Aside;
  readonly logs: Logs;
  readonly host: TransportHost;
  readonly bodyBytesMax: number;
}

interface Posted extends Parcel {
  readonly outgoing: Outgoing;
}

/** Everything that is sent. */
export class Outbound {
  readonly #parts: OutboundParts;

  constructor(parts: OutboundParts) {
    this.#parts = parts;
  }

  send(batch: readonly Outgoing[]): Promise<void> {
    const [only] = batch;
    if (only === undefined) return Promise.resolve();
    return batch.length === 1 && only.to.kind === "queue"
      ? this.#sendToQueue(only)
      : this.#sendAll(batch);
  }

  /** Most go this way; nothing has to be asked first. */
  async #sendToQueue(outgoing: Outgoing): Promise<void> {
    const { names, publisher, host } = this.#parts;
    const now = host.environment.clock.now();
    const parcel = this.#parcelOf(outgoing, names.queueSubject(outgoing.to.name), now);
    const [lost] = await publisher.send([parcel]);
    if (lost !== undefined) throw unroutable("NATS", outgoing.to);
  }

  async #sendAll(batch: readonly Outgoing[]): Promise<void> {
    const now = this.#parts.host.environment.clock.now();
    const parcels: Posted[] = [];
    const unheard: Outgoing[] = [];
    for (const outgoing of batch) {
      const subject = await this.#subjectOf(outgoing);
      const parcel = this.#parcelOf(outgoing, subject, now);
      if (await this.#isHeard(outgoing)) parcels.push(parcel);
      else unheard.push(outgoing);
    }
    for (const outgoing of unheard) await this.#keep(outgoing, now);
    const [lost] = await this.#parts.publisher.send(parcels);
    if (lost === undefined) return;
    const { to } = lost.outgoing;
    if (to.kind === "stream") this.#parts.logs.forget(to.name);
    throw unroutable("NATS", to);
  }

  /** Puts one where it came from. False when there is nobody any more who would take it. */
  async giveBack(address: string, envelope: Envelope, returned: Returned): Promise<boolean> {
    const { names, interest, publisher, bodyBytesMax } = this.#parts;
    const slash = address.indexOf("/");
    const [topic, name] = [address.slice(0, slash), address.slice(slash + 1)];
    const { type } = envelope.header;
    let subject = names.queueSubject(address);
    if (slash >= 0 && name === "") {
      if ((await interest.has(topic, type)) !== true) return false;
      subject = names.eventSubject(topic, type);
    } else if (slash >= 0) {
      if (!(await interest.takes(topic, name, type))) return false;
      subject = names.returnSubject(topic, name, type);
    }
    const written = writeMessage(
      envelope,
      { ...returned.extras, expiryLifted: true },
      bodyBytesMax,
    );
    const byInterest = slash < 0 ? undefined : names.topicStream(topic);
    const parcel = { subject, sendId: returned.sendId, byInterest, ...written };
    const lost = await publisher.send([parcel]);
    return lost.length === 0;
  }

  async #subjectOf({ to, envelope }: Outgoing): Promise<string> {
    const { names, logs } = this.#parts;
    const { type, partitionkey, id } = envelope.header;
    if (to.kind === "queue") return names.queueSubject(to.name);
    if (to.kind === "topic") return names.eventSubject(to.name, type);
    const partitions = await logs.partitions(to.name);
    if (partitions === undefined) throw unroutable("NATS", to);
    return names.partitionSubject(to.name, partitionOf(partitionkey ?? id, partitions));
  }

  #parcelOf(outgoing: Outgoing, subject: string, now: number): Posted {
    const { to, envelope, notBefore = 0, notAfter, discardExpired } = outgoing;
    const { host, names, bodyBytesMax } = this.#parts;
    assertSendable(outgoing);
    const due = notBefore > now ? Math.ceil(notBefore) : undefined;
    if (due !== undefined && due - now > delayMsMax)
      throw new WaybillError(
        "NOT_SUPPORTED",
        `A delay of ${due - now} ms is longer than the ${delayMsMax} ms that are held back on NATS.`,
      );
    const extras: Extras = { notBefore: due, notAfter: floored(notAfter), discardExpired };
    return {
      outgoing,
      subject,
      sendId: host.environment.id(),
      byInterest: to.kind === "topic" ? names.topicStream(to.name) : undefined,
      ...writeMessage(envelope, extras, bodyBytesMax),
    };
  }

  async #isHeard({ to, envelope }: Outgoing): Promise<boolean> {
    if (to.kind !== "topic") return true;
    const heard = await this.#parts.interest.has(to.name, envelope.header.type);
    if (heard === undefined) throw unroutable("NATS", to);
    return heard;
  }

  async #keep({ to, envelope }: Outgoing, now: number): Promise<void> {
    const { aside, host } = this.#parts;
    const token = host.environment.id();
    const failure = unheardFailure(to.name, envelope.header.type, now);
    const extras = { failure, enqueuedAt: now };
    const address = `${to.name}/`;
    await aside.lay({ address, state: "dead", token, envelope, extras, sendId: token });
    host.unrouted(envelope, to.name);
  }
}

const { delayMsMax } = capabilitiesOf(0, 1);

/** How something goes back. */
export interface Returned {
  readonly extras: Extras;
  readonly sendId: string;
}

function floored(moment: number | undefined): number | undefined {
  return moment === undefined ? undefined : Math.floor(moment);
}

/** Throws MESSAGE_INVALID, or NOT_SUPPORTED for a time on the way to a stream. */
function assertSendable(outgoing: Outgoing): void {
  const { to, notBefore, notAfter } = outgoing;
  if (to.kind === "stream" && (notBefore ?? notAfter) !== undefined)
    throw new WaybillError(
      "NOT_SUPPORTED",
      `A message for the stream "${to.name}" carries notBefore or notAfter, and a stream keeps the order of appending. Send it to a queue or a topic instead.`,
    );
  assertTimes(outgoing);
}
