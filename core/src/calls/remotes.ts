import { type Runtime, runtimeOf } from "../runtime.ts";
import type { AnyContract } from "../wiring/uses.ts";
import { TransportChannel } from "./transport-channel.ts";

/** Calls over the brokers of a bus: a channel for each that carries queries or feeds. */
export class Remotes {
  readonly #runtime: Runtime;
  readonly #channels = new Map<Runtime, TransportChannel>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  get all(): readonly TransportChannel[] {
    return [...this.#channels.values()];
  }

  of(contract: Pick<AnyContract, "kind">): TransportChannel {
    const runtime = runtimeOf(this.#runtime, contract);
    const known = this.#channels.get(runtime) ?? new TransportChannel(runtime);
    this.#channels.set(runtime, known);
    return known;
  }
}
