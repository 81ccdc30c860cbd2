import { type ArrivingDelivery, type Logger, WaybillError } from "@waybill/core";

/**
 * Remembers what was handled. The default lives in the process and knows what came to it; one on a store shared by all instances of a service
 * also refuses a copy that reaches another instance, or the same one after a restart.
 */
export interface ReplayMemory {
  /** What was written under this key; undefined when nothing was, or it is past its time. */
  get(key: string): string | undefined | Promise<string | undefined>;
  /** Keeps it until that moment, milliseconds since 1970, or until it has no room. */
  set(key: string, mark: string, until: number): void | Promise<void>;
}

/** The newest `max` keys, oldest forgotten first. */
export function replayMemory(max: number): ReplayMemory {
  const marks = new Map<string, string>();
  return {
    get: (key) => marks.get(key),
    set: (key, mark) => {
      marks.delete(key);
      marks.set(key, mark);
      if (marks.size <= max) return;
      for (const oldest of marks.keys()) {
        marks.delete(oldest);
        break;
      }
    },
  };
}

/**
 * Tells a copy from a message that comes again. A broker that delivers at least once gives one message several times: after a retry, a lost
 * lock, a crash. All of that is let through, because the message has not been completed, or has a higher attempt. A copy is one that comes
 * while its like is in hand, or after it was completed.
 */
export class ReplayGuard {
  readonly #memory: ReplayMemory;
  readonly #inHand = new Map<string, number>();

  constructor(memory: ReplayMemory) {
    this.#memory = memory;
  }

  /** Throws UNAUTHORISED for a copy. `id` is of one sealing, `until` when nobody would accept the message any more. */
  async admit(
    delivery: ArrivingDelivery,
    { id, type, until, logger }: { id: string; type: string; until: number; logger: Logger },
  ): Promise<void> {
    const { address, attempt, position } = delivery;
    const key = `${address} ${id}`;
    // Reading a stream again from an older place is no replay: the item still stands where it stood.
    const mark = position === undefined ? "" : `${position.partition}:${position.offset}`;
    const held = this.#inHand.get(key);
    if (held !== undefined && attempt <= held && mark === "") throw copied(type);
    this.#inHand.set(key, attempt);
    delivery.onEnd((end) => {
      if (this.#inHand.get(key) === attempt) this.#inHand.delete(key);
      if (end === "completed") this.#remember(logger, () => this.#memory.set(key, mark, until));
    });
    const known = await this.#memory.get(key);
    if (known !== undefined && (mark === "" || known !== mark)) throw copied(type);
  }

  /** The message is handled by then; that its copies are not known is told. */
  #remember(logger: Logger, write: () => void | Promise<void>): void {
    Promise.try(write).catch((error: unknown) =>
      logger.error(
        `A handled message could not be remembered, so a copy of it would be handled again: ${String(error)}`,
      ),
    );
  }
}

function copied(type: string): WaybillError {
  return new WaybillError(
    "UNAUTHORISED",
    `"${type}" is a copy of a message that came before; it was not handled again. Look for who else can write to the broker.`,
  );
}
