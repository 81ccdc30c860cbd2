import {
  type Environment,
  type Failure,
  type Settled,
  type Settlement,
  WaybillError,
} from "@waybill/core";
import type { AsideState } from "@waybill/core/adapter";
import { nanos } from "@nats-io/transport-node";
import { Acknowledgements, acknowledged, tellServer } from "./acknowledgements.ts";
import type { Aside } from "./aside.ts";
import type { NatsDelivery } from "./delivery.ts";
import type { Link } from "./link.ts";
import type { Extras } from "./message.ts";
import { type Notes, firstDelivery } from "./notes.ts";
import type { Outbound } from "./outbound.ts";
import type { Pulled } from "./pull.ts";

export interface SettlingParts {
  readonly link: Link;
  readonly notes: Notes;
  readonly aside: Aside;
  readonly outbound: Outbound;
  readonly environment: Environment;
}

/** Of a delivery, what is needed to give it back. */
export type Held = Pick<NatsDelivery, "noted" | "note" | "message">;

export const inProgress = "+WPI";

/** Carries the settlements of one consumer out: what has to be stored first, then the acknowledgement, which the server confirms. */
export class Settling {
  readonly #parts: SettlingParts;
  readonly #acknowledgements: Acknowledgements;

  constructor(parts: SettlingParts) {
    this.#parts = parts;
    this.#acknowledgements = new Acknowledgements(parts);
  }

  /** Rejects when what has to be stored first was refused. */
  settle(delivery: NatsDelivery, settlement: Settlement): Promise<Settled> {
    return settlement.kind === "complete" && settlement.send === undefined
      ? this.#done(delivery)
      : this.#settleStored(delivery, settlement);
  }

  async #settleStored(delivery: NatsDelivery, settlement: Settlement): Promise<Settled> {
    const { notes, outbound } = this.#parts;
    const { note, noted, message } = delivery;
    switch (settlement.kind) {
      case "complete":
        await outbound.send(settlement.send ?? []);
        return this.#done(delivery);
      case "retry":
        await notes.write(noted, { uncounted: note.uncounted, failure: settlement.failure });
        return this.tell(message, again(settlement.delayMs));
      case "release":
        await notes.write(noted, { ...note, uncounted: note.uncounted + 1 });
        return this.tell(message, again(settlement.delayMs ?? 0));
      case "deadLetter": {
        const { failure } = settlement;
        // What expired was not handled this time.
        const attempts = delivery.attempt - (failure.reason === "EXPIRED" ? 1 : 0);
        await this.#lay(delivery, "dead", { attempts, failure });
        return this.#done(delivery);
      }
      case "defer": {
        const { attempt: attempts, failure } = delivery;
        await this.#lay(delivery, "deferred", { attempts, failure });
        return this.#done(delivery);
      }
    }
  }

  /** One run more than JetStream's deliveries: a note says so, before it begins. */
  async countRun(delivery: NatsDelivery, failure: Failure): Promise<Settled> {
    const note = { uncounted: delivery.note.uncounted - 1, failure };
    await this.#parts.notes.write(delivery.noted, note);
    delivery.note = note;
    delivery.attempt += 1;
    delivery.failure = failure;
    return "settled";
  }

  /** Gives back what no handler saw: the delivery was no attempt. */
  async giveBack({ noted, note, message }: Held, delayMs = 0): Promise<void> {
    await this.#parts.notes.write(noted, { ...note, uncounted: note.uncounted + 1 });
    await this.tell(message, again(delayMs));
  }

  /** Gives back what a handler may have seen: the next delivery counts on. */
  async letGo({ message }: NatsDelivery, delayMs: number): Promise<void> {
    await this.tell(message, again(delayMs));
  }

  /** Takes away what is not for this receiver. */
  async skip(message: Pulled): Promise<void> {
    await this.tell(message, acknowledged);
  }

  /** JetStream confirms what asks for it. */
  tell({ reply }: Pulled, word: string, timeoutMs?: number): Promise<Settled> {
    return tellServer(this.#parts.link, { reply, word, timeoutMs });
  }

  #done(delivery: NatsDelivery): Promise<Settled> {
    const { noted, note, message } = delivery;
    const settled = this.#acknowledgements.acknowledge(message);
    if (message.deliveries > 1 || note !== firstDelivery)
      void settled.then(() => this.#parts.notes.forget(noted.address, noted.sequence));
    return settled;
  }

  async #lay(delivery: NatsDelivery, state: AsideState, extras: LaidExtras): Promise<void> {
    const { envelope, enqueuedAt, noted } = delivery;
    const { address, sequence, timestampNanos } = noted;
    await this.#parts.aside.lay({
      address,
      state,
      token: String(sequence),
      envelope,
      extras: { ...extras, enqueuedAt },
      sendId: `${timestampNanos}.${sequence}.${state}`,
    });
  }
}

type LaidExtras = Extras & Pick<Required<Extras>, "failure">;

function again(delayMs: number): string {
  return delayMs > 0 ? `-NAK ${JSON.stringify({ delay: nanos(Math.ceil(delayMs)) })}` : "-NAK";
}

export function missingSource(address: string, cause: unknown): WaybillError {
  return new WaybillError(
    "NOT_FOUND",
    `NATS has no "${address}" to receive from. Declare it first.`,
    { cause },
  );
}
