import type { Environment, Listener, ReceiveOptions, Settlement } from "@waybill/core";
import type { AmqpDelivery } from "./delivery.ts";
import type { Link } from "./link.ts";

/** Puts a message somewhere else, before this one is acknowledged. Resolves when the broker has confirmed it. */
export type Move = (delivery: AmqpDelivery, settlement: Settlement) => Promise<void>;

export interface ReceiverParts {
  readonly queue: string;
  /**
   * No other consumer gets anything while this one is there. So it stays until what it holds is settled, for else
   * the next one would get what stands behind.
   */
  readonly isSingle: boolean;
  readonly address: string;
  readonly options: ReceiveOptions;
  readonly listener: Listener;
  readonly link: Link;
  readonly environment: Environment;
  readonly move: Move;
  /** Writes down that they were not touched. Never rejects. */
  readonly note: (deliveries: readonly AmqpDelivery[]) => Promise<void>;
  /** Lets those that came before know how often they were not touched. Never rejects. */
  readonly count: (deliveries: readonly AmqpDelivery[]) => Promise<void>;
  /** The queue is not there any more: makes it again, where this process declared it. */
  readonly restore: () => Promise<void>;
  /** It holds nothing any more, and its channel has ended. */
  readonly onEnd: () => void;
}
