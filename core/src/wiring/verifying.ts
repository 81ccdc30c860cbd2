import { WaybillError } from "../errors.ts";
import type { Discrepancy, Topology } from "../ports/transport.ts";
import { type Broker, brokerName } from "../split/homes.ts";
import type { Declaration } from "./declarable.ts";

/** Whether the bus creates on the broker what it needs, or refuses to start where that is not there. */
export type DeclareMode = "create" | "verify";

/** Throws OPTION_INVALID, or NOT_SUPPORTED for a broker that cannot be held to it. */
export function checkDeclareMode(
  mode: DeclareMode,
  brokers: readonly Broker[],
  { streams }: Pick<Topology, "streams">,
): void {
  if (mode === "create") return;
  if ((mode as string) !== "verify")
    throw new WaybillError(
      "OPTION_INVALID",
      `connect({ declare }) is ${JSON.stringify(mode)}; give "create" or "verify".`,
    );
  for (const broker of brokers) {
    const { verifies } = broker.transport.capabilities;
    const [stream] = broker.kinds.includes("stream") ? streams : [];
    if (verifies === "everything" || (verifies !== undefined && stream === undefined)) continue;
    if (verifies !== undefined)
      throw new WaybillError(
        "NOT_SUPPORTED",
        `connect({ declare: "verify" }) asks ${brokerName(broker)} to create nothing, and it cannot tell what it lacks for the stream "${stream?.name}". Let it create, or give streams another broker: connect({ transport: { streams: …, default: … } }).`,
      );
    throw new WaybillError(
      "NOT_SUPPORTED",
      `connect({ declare: "verify" }) asks ${brokerName(broker)} to create nothing, and it cannot tell what it lacks. Let it create, or use another transport.`,
    );
  }
}

/** What a transport throws from `declare` where it may create nothing. Empty: nothing is thrown. */
export function refuseDiscrepancies(name: string, found: readonly Discrepancy[]): void {
  if (found.length === 0) return;
  const list = found.map(({ message }) => `  - ${message}`).join("\n");
  throw new WaybillError(
    "WIRING_INVALID",
    `${name} is not as these services need it, and this bus creates nothing:\n${list}\nBring onto it what topology({ transport, services }) prints, or connect with declare: "create".`,
    { details: { discrepancies: found } },
  );
}

/** Declares on each broker; of several that lack something, all is told at once. */
export async function declareAll(
  declarations: readonly Declaration[],
  mode: DeclareMode,
): Promise<void> {
  const refusals: WaybillError[] = [];
  for (const { transport, topology } of declarations) {
    try {
      await transport.declare(topology);
    } catch (error) {
      if (mode === "create" || !isRefusal(error)) throw error;
      refusals.push(error);
    }
  }
  const [first, ...others] = refusals;
  if (first === undefined) return;
  if (others.length === 0) throw first;
  throw new WaybillError("WIRING_INVALID", refusals.map(({ message }) => message).join("\n"), {
    details: { discrepancies: refusals.flatMap(({ details }) => details["discrepancies"]) },
  });
}

function isRefusal(error: unknown): error is WaybillError {
  return error instanceof WaybillError && Array.isArray(error.details["discrepancies"]);
}
