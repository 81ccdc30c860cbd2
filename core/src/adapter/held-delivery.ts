import type { Envelope } from "../envelope.ts";
import type {
  Delivery,
  Failure,
  Position,
  Session,
  Settled,
  Settlement,
} from "../ports/transport.ts";

/** A delivery that one process holds until it is settled once: who comes second, or after its lock was lost, hears `lockLost`. */
export abstract class HeldDelivery implements Delivery {
  abstract readonly envelope: Envelope;
  abstract readonly attempt: number;
  abstract readonly enqueuedAt: number;
  abstract readonly failure: Failure | undefined;
  abstract readonly handle: string | undefined;
  abstract readonly position: Position | undefined;
  abstract readonly session: Session | undefined;
  onLockLost: (() => void) | undefined = undefined;
  /** Settled, being settled, or lost. */
  over = false;

  /** Carries a settlement out. Rejects when what has to be stored first was refused. */
  protected abstract end(settlement: Settlement): Promise<Settled>;

  async settle(settlement: Settlement): Promise<Settled> {
    if (this.over) return "lockLost";
    this.over = true;
    try {
      return await this.end(settlement);
    } catch (error) {
      // What was to be sent was refused; the message is still held and can be settled otherwise.
      this.over = false;
      throw error;
    }
  }

  /** Somebody else has it now. Who is settling it hears of it by the answer. */
  lose(): void {
    const wasOver = this.over;
    this.over = true;
    if (!wasOver) this.onLockLost?.();
  }
}
