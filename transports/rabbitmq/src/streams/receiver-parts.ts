import type { Environment, Listener, ReceiveOptions, Receiver, Settlement } from "@waybill/core";
import type { Link } from "../link.ts";
import type { StreamDelivery } from "./delivery.ts";
import type { GroupLog } from "./group-log.ts";
import type { StreamReceiver } from "./receiver.ts";

export interface StreamReceiverParts {
  readonly stream: string;
  readonly group: string;
  readonly address: string;
  readonly options: ReceiveOptions;
  readonly listener: Listener;
  readonly link: Link;
  readonly environment: Environment;
  /** Opens the log; declares what the group needs. */
  readonly prepare: () => Promise<GroupLog>;
  /** Where a new group begins, partition by partition. */
  readonly start: () => Promise<readonly number[]>;
  readonly queueOf: (partition: number) => string;
  readonly memberQueue: (member: string) => string;
  readonly isAlive: (member: string) => Promise<boolean>;
  /** Does what a settlement asks for beside ending the item: resolves when it has arrived. */
  readonly move: (delivery: StreamDelivery, settlement: Settlement) => Promise<void>;
  /** Receives what was replayed to the group. */
  readonly replays: (listener: Listener, options: ReceiveOptions) => Receiver;
  readonly onEnd: (receiver: StreamReceiver) => void;
}
