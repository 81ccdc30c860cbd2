import type { Serving } from "../ports/channel.ts";
import type { Places } from "./places.ts";

/** A query or a feed that this process answers, in the process and over the transport: one set of places for both. */
export class Served {
  readonly address: string;
  readonly local: Serving;
  readonly remote: Serving;
  readonly #places: Places;

  constructor(
    address: string,
    parts: { readonly local: Serving; readonly remote: Serving; readonly places: Places },
  ) {
    this.address = address;
    this.local = parts.local;
    this.remote = parts.remote;
    this.#places = parts.places;
  }

  /** Handlers that run: of queries those that have a place, and every open feed. */
  get inFlight(): number {
    return this.#places.taken + this.local.feeds + this.remote.feeds;
  }

  /** New calls wait in the queue of the address, where another process of the service may answer them, until their deadline. */
  pause(): void {
    this.local.pause();
    this.remote.pause();
  }

  resume(): void {
    this.remote.resume();
    this.local.resume();
  }
}
