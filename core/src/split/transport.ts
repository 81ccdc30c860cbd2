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
import { commonOf } from "./capabilities.ts";
import { type Broker, type Homes, brokerName } from "./homes.ts";
import { SplitInspection } from "./inspection.ts";

/** Several brokers as one: each message goes to that of its kind. */
export class SplitTransport implements Transport {
  readonly name: string;
  /** What all of them can do. */
  readonly capabilities: Capabilities;
  readonly inspection: Inspection;
  readonly #homes: Homes;

  constructor(homes: Homes) {
    const [first, ...others] = homes.brokers.map(({ transport }) => transport.capabilities);
    this.#homes = homes;
    this.name = homes.brokers.map(brokerName).join(" and ");
    this.capabilities = commonOf([first as Capabilities, ...others]);
    this.inspection = new SplitInspection(homes);
  }

  async declare(topology: Topology): Promise<void> {
    for (const [{ transport }, part] of this.#homes.split(topology)) await transport.declare(part);
  }

  /** One broker after another where a batch is for several. What was sent before one of them failed has left. */
  send(batch: readonly Outgoing[]): Promise<void> {
    const [first, ...others] = batch;
    if (first === undefined) return Promise.resolve();
    const home = this.#homes.ofDestination(first.to);
    if (others.every(({ to }) => this.#homes.ofDestination(to) === home))
      return home.transport.send(batch);
    return this.#sendEach(Map.groupBy(batch, ({ to }) => this.#homes.ofDestination(to)));
  }

  receive(source: Source, options: ReceiveOptions, listener: Listener): Receiver {
    const { transport } =
      source.kind === "queue"
        ? this.#homes.ofDestination(source)
        : this.#homes.of(source.kind === "stream" ? "stream" : "event");
    return transport.receive(source, options, listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ends = await Promise.allSettled(
      this.#homes.brokers.map(({ transport }) => transport[Symbol.asyncDispose]()),
    );
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  }

  async #sendEach(byBroker: ReadonlyMap<Broker, readonly Outgoing[]>): Promise<void> {
    for (const [{ transport }, part] of byBroker) await transport.send(part);
  }
}
