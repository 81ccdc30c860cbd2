import { type Envelope, bodyBytes } from "../envelope.ts";
import type { WaybillError } from "../errors.ts";
import { PassedDelivery } from "../handling/passed-delivery.ts";
import type { Delivery, Settled, Settlement } from "../ports/transport.ts";
import type { ArrivingDelivery } from "../ports/wire.ts";
import type { Wire } from "./wire.ts";

export interface Origin {
  readonly address: string;
  readonly destination: string;
}

/** A delivery whose body the wire opens, and whose messages it seals. */
export class WiredDelivery extends PassedDelivery {
  /** Opened; as it came while it could not be. */
  override envelope: Envelope;
  /** Why it could not be opened. */
  refusal: WaybillError | undefined;
  /** Whether everything that this bus requires of a message was seen in it, though something else may have failed. */
  vouched = false;
  /** Bytes of the opened body, for whoever bounds their sum. */
  openedBytes = 0;
  /** Called once, when nothing of it is needed any more. */
  onEnded: (() => void) | undefined;
  readonly #wire: Wire;
  readonly #origin: Origin;
  #ends: ((end: "completed" | "back") => void)[] = [];
  #ended = false;
  #lost = false;
  #onLockLost: (() => void) | undefined;

  constructor(inner: Delivery, wire: Wire, origin: Origin) {
    super(inner);
    this.#wire = wire;
    this.#origin = origin;
    this.envelope = inner.envelope;
    inner.onLockLost = () => {
      this.#lost = true;
      this.#end("back");
      this.#onLockLost?.();
    };
  }

  override get onLockLost(): (() => void) | undefined {
    return this.#onLockLost;
  }

  /** The lock may be lost while the body is opened, before anybody listens: then it is told at once. */
  override set onLockLost(callback: (() => void) | undefined) {
    this.#onLockLost = callback;
    if (this.#lost) callback?.();
  }

  /** Never rejects: what went wrong stands in `refusal`, for the pipeline to judge. */
  async open(): Promise<void> {
    this.#tell("back");
    const { destination, address } = this.#origin;
    const { attempt, position } = this.inner;
    const delivery: ArrivingDelivery = {
      address,
      attempt,
      position,
      onEnd: (callback) => void this.#ends.push(callback),
    };
    try {
      this.envelope = await this.#wire.open(this.inner.envelope, {
        destination,
        delivery,
        onVouched: () => (this.vouched = true),
      });
      this.openedBytes = bodyBytes(this.envelope.body);
      this.refusal = undefined;
    } catch (error) {
      this.refusal = error as WaybillError;
    }
    if (this.#lost) this.#tell("back");
  }

  override async settle(settlement: Settlement): Promise<Settled> {
    const { kind } = settlement;
    const sealed =
      kind === "complete" && settlement.send !== undefined
        ? { ...settlement, send: await this.#wire.sealAll(settlement.send) }
        : settlement;
    // Before the broker has it back: it may deliver it again before this call has returned.
    if (kind !== "complete") this.#tell("back");
    const settled = await this.inner.settle(sealed);
    this.#end(kind === "complete" && settled === "settled" ? "completed" : "back");
    return settled;
  }

  #end(end: "completed" | "back"): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#tell(end);
    this.onEnded?.();
  }

  #tell(end: "completed" | "back"): void {
    const ends = this.#ends;
    this.#ends = [];
    for (const callback of ends) callback(end);
  }
}

/** Whether a stranger may have made this delivery, as far as the wire can tell. */
export function isForeign(delivery: Delivery): boolean {
  return delivery instanceof WiredDelivery && delivery.refusal !== undefined && !delivery.vouched;
}

/** Why this delivery could not be opened; undefined where it could, or where nothing was to be opened. */
export function refusalOf(delivery: Delivery): WaybillError | undefined {
  return delivery instanceof WiredDelivery ? delivery.refusal : undefined;
}
