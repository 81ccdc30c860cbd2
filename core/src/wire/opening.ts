import { bodyBytes } from "../envelope.ts";
import type { WaybillError } from "../errors.ts";
import { type Delivery, type Listener, type Source, addressOf } from "../ports/transport.ts";
import { type Origin, WiredDelivery } from "./delivery.ts";
import { type Wire, destinationOfSource } from "./wire.ts";

/** Opened at the same time. */
const atOnceMax = 16;
/** A sealed body above this is opened alone. */
const smallBytesMax = 64 * 1024;
/** Bytes of opened bodies that were delivered and not yet settled; one batch is always let through. */
const openedBytesMax = 64 * 1024 * 1024;

/** Stands between a transport and its listener: opens what comes, keeps the order, bounds what opened bodies hold. */
export class Opening implements Listener {
  readonly #listener: Listener;
  readonly #wire: Wire;
  readonly #origin: Origin;
  #waiting: WiredDelivery[] = [];
  #working: Promise<void> | undefined;
  #stopped = false;
  #openedBytes = 0;
  #roomMade: (() => void) | undefined;

  constructor(listener: Listener, wire: Wire, source: Source) {
    this.#listener = listener;
    this.#wire = wire;
    this.#origin = { address: addressOf(source), destination: destinationOfSource(source) };
  }

  deliver(batch: readonly Delivery[]): void {
    const wired = batch.map((delivery) => new WiredDelivery(delivery, this.#wire, this.#origin));
    if (
      this.#working === undefined &&
      batch.every(({ envelope }) => this.#wire.isPlain(envelope))
    ) {
      this.#listener.deliver(wired);
      return;
    }
    this.#waiting.push(...wired);
    this.#working ??= this.#work().finally(() => (this.#working = undefined));
  }

  fault(error: WaybillError): void {
    this.#listener.fault(error);
  }

  /** After the transport has stopped: gives back what was not opened yet. Nothing is delivered after it has resolved. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#roomMade?.();
    await this.#working;
  }

  async #work(): Promise<void> {
    while (this.#waiting.length > 0) {
      while (this.#openedBytes > openedBytesMax && !this.#stopped)
        await new Promise<void>((resolve) => (this.#roomMade = resolve));
      if (this.#stopped) return this.#giveBack();
      const batch = this.#take();
      await Promise.all(batch.map((delivery) => this.#open(delivery)));
      this.#listener.deliver(batch);
    }
  }

  #take(): readonly WiredDelivery[] {
    const large = this.#waiting
      .slice(0, atOnceMax)
      .findIndex(({ envelope }) => bodyBytes(envelope.body) > smallBytesMax);
    return this.#waiting.splice(0, large === -1 ? atOnceMax : Math.max(1, large));
  }

  async #open(delivery: WiredDelivery): Promise<void> {
    if (this.#wire.isPlain(delivery.envelope)) return;
    await delivery.open();
    const bytes = delivery.openedBytes;
    this.#openedBytes += bytes;
    delivery.onEnded = () => {
      this.#openedBytes -= bytes;
      this.#roomMade?.();
    };
  }

  async #giveBack(): Promise<void> {
    const left = this.#waiting;
    this.#waiting = [];
    // What cannot be given back comes again when its lock has run out.
    await Promise.allSettled(left.map((delivery) => delivery.settle({ kind: "release" })));
  }
}
