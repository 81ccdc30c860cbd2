import type { Codec } from "./codec.ts";
import type { Counters } from "./operating/counters.ts";
import type { Environment } from "./ports/environment.ts";
import type { Logger } from "./ports/logger.ts";
import type { Transport } from "./ports/transport.ts";
import type { Broker } from "./split/homes.ts";
import type { Neighbours } from "./split/neighbours.ts";
import type { Kind } from "./split/options.ts";
import type { Telemetry } from "./telemetry.ts";
import type { Vigil } from "./vigil.ts";
import type { Wire } from "./wire/wire.ts";

/** What every step and listener of one bus shares; of one broker, where kinds are split over several. */
export interface Runtime {
  readonly environment: Environment;
  readonly logger: Logger;
  readonly counters: Counters;
  readonly codec: Codec;
  /** Seals and opens by itself where there is a wire. */
  readonly transport: Transport;
  /** What happens to bodies between codec and broker; undefined when nothing does. */
  readonly wire: Wire | undefined;
  /** Undefined when no OpenTelemetry API is installed. */
  readonly telemetry: Telemetry | undefined;
  /** This process among all that share the broker. */
  readonly instance: string;
  readonly callDepth: CallDepthPolicy;
  readonly vigil: Vigil;
  /** Every broker of the bus. */
  readonly brokers: readonly Broker[];
  /** The same for one kind of contract, where kinds are split over brokers. */
  readonly byKind: ReadonlyMap<Kind, Runtime> | undefined;
  /** The other brokers, where kinds are split and this is of one. */
  readonly neighbours: Neighbours | undefined;
}

/** The runtime in which contracts of that kind are sent and handled. */
export function runtimeOf(runtime: Runtime, { kind }: { readonly kind: Kind }): Runtime {
  return runtime.byKind?.get(kind) ?? runtime;
}

/** What to do when calls stand on calls: the synchronous chain that makes every owner's outage everybody's. */
export interface CallDepthPolicy {
  /** Calls with somebody waiting above which the policy acts. Default 3. */
  readonly max: number;
  /** Default "warn". */
  readonly policy: "warn" | "refuse";
}
