import {
  type Destination,
  type Envelope,
  type Outgoing,
  type TransportHost,
  WaybillError,
} from "@waybill/core";
import type { Aside } from "./aside.ts";
import { capabilitiesOf } from "./capabilities.ts";
import type { Interest } from "./interest.ts";
import { type Extras, writeMessage } from "./message.ts";
import type { Parcel, Publisher } from "./publisher.ts";
import type { Names } from "./topology.ts";

export interface OutboundParts {
  readonly names: Names;
  readonly publisher: Publisher;
  readonly interest: Interest;
  readonly aside: Aside;
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

  async send(batch: readonly Outgoing[]): Promise<void> {
    if (batch.length === 0) return;
    const now = this.#parts.host.environment.clock.now();
    const parcels: Posted[] = [];
    const unheard: Outgoing[] = [];
    for (const outgoing of batch) {
      const parcel = this.#parcelOf(outgoing, now);
      if (await this.#isHeard(outgoing)) parcels.push(parcel);
      else unheard.push(outgoing);
    }
    for (const outgoing of unheard) await this.#keep(outgoing, now);
    const [lost] = await this.#parts.publisher.send(parcels);
    if (lost !== undefined) throw unroutable(lost.outgoing.to);
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
    const lost = await publisher.send([{ subject, sendId: returned.sendId, ...written }]);
    return lost.length === 0;
  }

  #parcelOf(outgoing: Outgoing, now: number): Posted {
    const { to, envelope, notBefore = 0, notAfter, discardExpired } = outgoing;
    const { names, host, bodyBytesMax } = this.#parts;
    assertTimes(outgoing);
    if (to.kind === "stream") throw unroutable(to);
    const due = notBefore > now ? Math.ceil(notBefore) : undefined;
    if (due !== undefined && due - now > delayMsMax)
      throw new WaybillError(
        "NOT_SUPPORTED",
        `A delay of ${due - now} ms is longer than the ${delayMsMax} ms that are held back on NATS.`,
      );
    const extras: Extras = { notBefore: due, notAfter: floored(notAfter), discardExpired };
    const { type } = envelope.header;
    return {
      outgoing,
      subject:
        to.kind === "topic" ? names.eventSubject(to.name, type) : names.queueSubject(to.name),
      sendId: host.environment.id(),
      ...writeMessage(envelope, extras, bodyBytesMax),
    };
  }

  async #isHeard({ to, envelope }: Outgoing): Promise<boolean> {
    if (to.kind !== "topic") return true;
    const heard = await this.#parts.interest.has(to.name, envelope.header.type);
    if (heard === undefined) throw unroutable(to);
    return heard;
  }

  async #keep({ to, envelope }: Outgoing, now: number): Promise<void> {
    const { aside, host } = this.#parts;
    const token = host.environment.id();
    const failure = {
      reason: "SUBSCRIBER_MISSING",
      message: `No subscription of "${to.name}" takes "${envelope.header.type}".`,
      service: "",
      handler: "",
      attempts: 0,
      firstFailedAt: now,
      lastFailedAt: now,
    };
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

function unroutable({ kind, name }: Destination): WaybillError {
  return new WaybillError(
    "UNROUTABLE",
    `NATS has no ${kind} "${name}". Declare it by connecting a service that handles it, or correct the name.`,
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
