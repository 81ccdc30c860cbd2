import type { Channel, Responder, Serving } from "../ports/channel.ts";
import { addressOf } from "../ports/transport.ts";
import type { Intake } from "../wiring/route.ts";
import type { Runtime } from "../runtime.ts";
import { BoundedResponder } from "./bounded-responder.ts";
import { Places } from "./places.ts";

interface ServingParts {
  readonly runtime: Runtime;
  readonly local: Channel;
  readonly remote: Channel;
}

/** Begins to answer calls of one address, whichever way they come. */
export async function serveCalls(
  intake: Intake,
  responder: Responder,
  { runtime, local, remote }: ServingParts,
): Promise<Served> {
  const address = addressOf(intake.source);
  const places = new Places(intake.concurrency);
  const bounded = new BoundedResponder(responder, runtime, {
    places,
    waitingMax: intake.prefetch,
  });
  // The transport's listener bounds itself how many it brings.
  const unbounded = new BoundedResponder(responder, runtime, {
    places,
    waitingMax: Number.POSITIVE_INFINITY,
  });
  return new Served(address, {
    local: await local.serve(address, bounded, intake),
    remote: await remote.serve(address, unbounded, intake),
    places,
  });
}

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
