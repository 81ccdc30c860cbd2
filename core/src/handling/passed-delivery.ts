import type { Envelope } from "../envelope.ts";
import type {
  Delivery,
  Failure,
  Position,
  Session,
  Settled,
  Settlement,
} from "../ports/transport.ts";

/** A delivery that stands for another, of which it passes on what it does not change. */
export abstract class PassedDelivery implements Delivery {
  protected readonly inner: Delivery;

  constructor(inner: Delivery) {
    this.inner = inner;
  }

  abstract readonly envelope: Envelope;
  abstract onLockLost: (() => void) | undefined;
  abstract settle(settlement: Settlement): Promise<Settled>;

  get attempt(): number {
    return this.inner.attempt;
  }

  get enqueuedAt(): number {
    return this.inner.enqueuedAt;
  }

  get failure(): Failure | undefined {
    return this.inner.failure;
  }

  get handle(): string | undefined {
    return this.inner.handle;
  }

  get position(): Position | undefined {
    return this.inner.position;
  }

  get expiryLifted(): boolean {
    return this.inner.expiryLifted === true;
  }

  get session(): Session | undefined {
    return this.inner.session;
  }

  /** Where the other does not count, runs begin anew after a crash: see `Capabilities.attemptsInPlace`. */
  countRun(failure: Failure): Promise<Settled> {
    return this.inner.countRun?.(failure) ?? Promise.resolve("settled");
  }
}
