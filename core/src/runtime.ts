import type { Codec } from "./codec.ts";
import type { Counters } from "./operating/counters.ts";
import type { Environment } from "./ports/environment.ts";
import type { Logger } from "./ports/logger.ts";
import type { Transport } from "./ports/transport.ts";
import type { Telemetry } from "./telemetry.ts";
import type { Vigil } from "./vigil.ts";
import type { Wire } from "./wire/wire.ts";

/** What every step and listener of one bus shares. */
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
}

/** What to do when calls stand on calls: the synchronous chain that makes every owner's outage everybody's. */
export interface CallDepthPolicy {
  /** Calls with somebody waiting above which the policy acts. Default 3. */
  readonly max: number;
  /** Default "warn". */
  readonly policy: "warn" | "refuse";
}
