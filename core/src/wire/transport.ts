import type {
  Capabilities,
  Inspection,
  Listener,
  Outgoing,
  ReceiveOptions,
  Receiver,
  Source,
  Topology,
  Transport,
} from "../ports/transport.ts";
import { Opening } from "./opening.ts";
import { type Wire, destinationText } from "./wire.ts";

/** A transport on whose far side every body is sealed. Only there when the bus has a wire, so it costs nobody else. */
export class WiredTransport implements Transport {
  readonly name: string;
  readonly capabilities: Capabilities;
  /** Shows messages as the broker holds them: sealed. */
  readonly inspection: Inspection;
  readonly #inner: Transport;
  readonly #wire: Wire;
  /** The last send to each destination that has one under way: sealing takes different times, and order is kept. */
  readonly #turns = new Map<string, Promise<void>>();

  constructor(inner: Transport, wire: Wire) {
    this.#inner = inner;
    this.#wire = wire;
    this.name = inner.name;
    this.capabilities = { ...inner.capabilities, bodyBytesMax: wire.bodyBytesMax };
    this.inspection = inner.inspection;
  }

  declare(topology: Topology): Promise<void> {
    return this.#inner.declare(topology);
  }

  send(batch: readonly Outgoing[]): Promise<void> {
    const places = [...new Set(batch.map(({ to }) => destinationText(to)))];
    const before = places.flatMap((place) => this.#turns.get(place) ?? []);
    const sealing = this.#wire.sealAll(batch);
    const sent = this.#inTurn(sealing, before);
    // The next one waits until this one was handed over, not until it was stored.
    const turn: Promise<void> = sent.handed.finally(() => {
      for (const place of places) if (this.#turns.get(place) === turn) this.#turns.delete(place);
    });
    for (const place of places) this.#turns.set(place, turn);
    return sent.stored;
  }

  receive(source: Source, options: ReceiveOptions, listener: Listener): Receiver {
    const opening = new Opening(listener, this.#wire, source);
    const receiver = this.#inner.receive(source, options, opening);
    return {
      stop: async () => {
        await receiver.stop();
        await opening.stop();
      },
      pause: () => receiver.pause(),
      resume: () => receiver.resume(),
    };
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#inner[Symbol.asyncDispose]();
  }

  #inTurn(
    sealing: Promise<readonly Outgoing[]>,
    before: readonly Promise<void>[],
  ): { handed: Promise<void>; stored: Promise<void> } {
    const { promise: handed, resolve: hand } = Promise.withResolvers<void>();
    const send = async (): Promise<void> => {
      try {
        const [batch] = await Promise.all([sealing, ...before]);
        const stored = this.#inner.send(batch);
        hand();
        await stored;
      } finally {
        hand();
      }
    };
    return { handed, stored: send() };
  }
}
