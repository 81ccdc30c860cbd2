import type {
  Delivery,
  Listener,
  ReceiveOptions,
  Receiver,
  Settlement,
  Source,
  Transport,
  WaybillError,
} from "@waybill/core";

/** What a probe needs of its stage. */
export interface Patience {
  until(what: string, holds: () => boolean | Promise<boolean>): Promise<void>;
  pass(ms: number): Promise<void>;
}

export interface ProbeParts {
  readonly transport: Transport;
  readonly source: Source;
  readonly options: ReceiveOptions;
  /** Done with each delivery as it comes. Default: nothing, the case settles by hand. */
  readonly onDelivery?: (delivery: Delivery) => void;
}

/** A receiver that writes down what comes. */
export class Probe implements Listener {
  readonly receiver: Receiver;
  readonly deliveries: Delivery[] = [];
  readonly batches: number[] = [];
  readonly faults: WaybillError[] = [];
  readonly lost: Delivery[] = [];
  readonly #patience: Patience;
  readonly #onDelivery: (delivery: Delivery) => void;
  #taken = 0;

  constructor(patience: Patience, parts: ProbeParts) {
    this.#patience = patience;
    this.#onDelivery = parts.onDelivery ?? ((): void => {});
    this.receiver = parts.transport.receive(parts.source, parts.options, this);
  }

  deliver(batch: readonly Delivery[]): void {
    this.batches.push(batch.length);
    for (const delivery of batch) {
      delivery.onLockLost = () => void this.lost.push(delivery);
      this.deliveries.push(delivery);
      this.#onDelivery(delivery);
    }
  }

  fault(error: WaybillError): void {
    this.faults.push(error);
  }

  get bodies(): readonly string[] {
    return this.deliveries.map(bodyText);
  }

  /** The next delivery that was not taken yet. */
  async next(): Promise<Delivery> {
    const [delivery] = await this.take(1);
    if (delivery === undefined) throw new Error("a delivery was counted but is not there");
    return delivery;
  }

  /** The next `count` deliveries. */
  async take(count: number): Promise<readonly Delivery[]> {
    const end = this.#taken + count;
    await this.#patience.until(
      `delivery ${end}, ${this.deliveries.length} came`,
      () => this.deliveries.length >= end,
    );
    const taken = this.deliveries.slice(this.#taken, end);
    this.#taken = end;
    return taken;
  }

  /** Fails when something comes within `ms` that was not taken. */
  async nothingMore(ms = 40): Promise<void> {
    await this.#patience.pass(ms);
    if (this.deliveries.length === this.#taken) return;
    throw new Error(
      `nothing more was to come, but this did: ${this.bodies.slice(this.#taken).join(", ")}`,
    );
  }
}

export const complete: Settlement = { kind: "complete" };
export const release: Settlement = { kind: "release" };

/** Probe options: completes whatever comes. */
export const settleAll: { readonly onDelivery: (delivery: Delivery) => void } = {
  onDelivery: (delivery) => void delivery.settle(complete),
};

/** A lock that has to be renewed in time for the case to pass: long enough that a machine with more to do still does it. */
export const renewedLockMs = 3_000;

export function bodyText(delivery: Pick<Delivery, "envelope">): string {
  const { body } = delivery.envelope;
  return typeof body === "string" ? body : new TextDecoder().decode(body);
}
