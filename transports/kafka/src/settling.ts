import { type Environment, type Settlement, WaybillError } from "@waybill/core";
import type { AsideState } from "@waybill/core/adapter";
import type { Aside } from "./aside.ts";
import type { Delays } from "./delays.ts";
import type { Identity, KafkaDelivery } from "./delivery.ts";
import { type Extras, type Read, writeMessage } from "./message.ts";
import type { Outbound } from "./outbound.ts";
import type { Publisher } from "./publisher.ts";
import { missing } from "./producing.ts";
import type { Entry } from "./window.ts";

export interface SettlingParts {
  readonly outbound: Outbound;
  readonly publisher: Publisher;
  readonly aside: Aside;
  readonly delays: Delays;
  readonly environment: Environment;
}

/** Where a delivery came from. */
export interface Origin {
  readonly address: string;
  /** The topic to which it goes back. */
  readonly returns: string;
  /** Of a temporary queue, its name: it shares the topic with others. */
  readonly to?: string;
  /** Its items are in order: none may be put behind another. */
  readonly isStream: boolean;
  readonly identify: (entry: Entry, read: Read) => Identity;
}

/** What has to be stored elsewhere before a message is done. */
export class Settling {
  readonly #parts: SettlingParts;

  constructor(parts: SettlingParts) {
    this.#parts = parts;
  }

  /** False when it stays where it is: then it comes again from there. Rejects when something was refused. */
  async carryOut(
    delivery: KafkaDelivery,
    settlement: Settlement,
    origin: Origin,
  ): Promise<boolean> {
    const { attempt, failure } = delivery;
    switch (settlement.kind) {
      case "complete":
        if (settlement.send !== undefined) await this.#parts.outbound.send(settlement.send);
        return true;
      case "retry":
        if (origin.isStream) throw unsupported(origin, settlement.kind);
        await this.#sendBack(delivery, origin, {
          delayMs: settlement.delayMs,
          extras: { attempts: attempt, failure: settlement.failure },
        });
        return true;
      case "release": {
        const { delayMs = 0 } = settlement;
        if (delayMs <= 0 || origin.isStream) return false;
        await this.#sendBack(delivery, origin, {
          delayMs,
          extras: { attempts: attempt - 1, failure },
        });
        return true;
      }
      case "deadLetter": {
        // What expired was not handled this time.
        const attempts = attempt - (settlement.failure.reason === "EXPIRED" ? 1 : 0);
        const extras = { attempts, failure: settlement.failure };
        await this.#lay(delivery, origin, { state: "dead", extras });
        return true;
      }
      case "defer":
        if (origin.isStream) throw unsupported(origin, settlement.kind);
        await this.#lay(delivery, origin, {
          state: "deferred",
          extras: { attempts: attempt, failure },
        });
        return true;
    }
  }

  async #sendBack(
    delivery: KafkaDelivery,
    { returns, to }: Origin,
    { delayMs, extras }: { readonly delayMs: number; readonly extras: Extras },
  ): Promise<void> {
    const { publisher, delays, environment } = this.#parts;
    const written = writeMessage(delivery.envelope, { ...delivery.kept, ...extras, to });
    const { topic, partition } = delivery.entry.stored;
    const parcel = { topic: returns, ...written, ...(topic === returns && { partition }) };
    const back =
      delayMs > 0
        ? await delays.wrap(parcel, environment.clock.now() + Math.ceil(delayMs))
        : parcel;
    const [lost] = await publisher.send([back]);
    if (lost !== undefined) throw missing(lost.topic);
  }

  async #lay(
    delivery: KafkaDelivery,
    { address }: Origin,
    {
      state,
      extras,
    }: {
      readonly state: AsideState;
      readonly extras: Extras & Pick<Required<Extras>, "failure">;
    },
  ): Promise<void> {
    const { envelope, token, kept } = delivery;
    await this.#parts.aside.lay({
      address,
      state,
      token,
      envelope,
      extras: { ...kept, ...extras },
    });
  }
}

function unsupported({ address }: Origin, kind: string): WaybillError {
  return new WaybillError(
    "NOT_SUPPORTED",
    `An item of the stream group "${address}" cannot be settled with "${kind}": the items behind it would overtake it. Wait in the handler and try again there, or settle it as a dead letter.`,
    { details: { address, kind } },
  );
}
