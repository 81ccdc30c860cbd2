import type { Delivery, Receiver, Source, Transport } from "@waybill/core";
import type { StallingEnvironment } from "../stall.ts";
import type { Item, Token } from "./item.ts";

/** One process of the model. */
export interface Client {
  readonly instance: string;
  readonly transport: Transport;
  readonly environment: StallingEnvironment;
  readonly readings: Set<Reading>;
  /** The queue that ends with it, where it has declared one. */
  replies: string | undefined;
}

/** One receiver of a client. */
export interface Reading {
  readonly source: Source;
  readonly prefetch: number;
  readonly receiver: Receiver;
  paused: boolean;
}

/** One delivery. */
export interface Held extends Token {
  readonly delivery: Delivery;
  readonly item: Item;
  readonly client: Client;
  lost: boolean;
  /** Its settlement was refused; the room that it gave may be taken already. */
  refused: boolean;
}
