import { WaybillError } from "../errors.ts";
import { ruleHere } from "./filtering.ts";
import { typesOf } from "./former-names.ts";
import { orderingKey } from "./key.ts";
import type { Transport } from "../ports/transport.ts";
import { type Runtime, runtimeOf } from "../runtime.ts";
import type { Route } from "./route.ts";
import { refuseState } from "./session-checks.ts";
import type { Wiring } from "./wiring.ts";

/** What the services ask for against what the broker can: throws NOT_SUPPORTED, and tells what core does in its place. */
export function checkCapabilities(
  { intakes, contracts }: Pick<Wiring, "intakes" | "contracts">,
  runtime: Runtime,
): void {
  const { logger } = runtime;
  for (const contract of contracts.values()) {
    const { name, capabilities } = runtimeOf(runtime, contract).transport;
    if (typesOf(contract).length > 1 && capabilities.forwardHopsMax === 0)
      throw new WaybillError(
        "NOT_SUPPORTED",
        `The command "${contract.name}" has formerNames, and ${name} does not forward. Keep a handler for each old name until nobody sends it, or choose another transport.`,
        { details: { contract: contract.name } },
      );
    const dedupMs = "dedupMs" in contract ? (contract.dedupMs ?? 0) : 0;
    if (dedupMs <= capabilities.dedupWindowMs) continue;
    throw new WaybillError(
      "NOT_SUPPORTED",
      `The ${contract.kind} "${contract.name}" asks for dedupMs: ${dedupMs}; ${name} recognises duplicates within ${capabilities.dedupWindowMs} ms at most. Shorten it, choose another transport, or make the handler idempotent and leave it out.`,
      { details: { contract: contract.name, dedupMs, dedupWindowMs: capabilities.dedupWindowMs } },
    );
  }
  for (const { routes } of intakes) {
    for (const route of routes) {
      const { contract, options, handlerName } = route;
      const { transport } = runtimeOf(runtime, contract);
      const { name, capabilities } = transport;
      if (ruleHere(route, transport) !== undefined)
        logger.info(
          `${handlerName} applies its rule in this process, because ${name} does not: every "${contract.name}" travels here, and what the rule leaves out counts as filtered.`,
        );
      refuseState(route, transport);
      if (options.onDeadLetter === "park" && !capabilities.sessions)
        throw new WaybillError(
          "NOT_SUPPORTED",
          `${handlerName} parks keys behind a dead letter, and ${name} has no sessions to hold them back in. Say onDeadLetter: "continue", or use a transport with sessions.`,
        );
      const advice = orderAdvice(route, transport);
      if (advice !== undefined) logger.info(`${handlerName} is ordered by key ${advice}`);
    }
  }
}

/** What to know of the order of a handler, where it is not simply kept. */
function orderAdvice(
  { contract, options }: Pick<Route, "contract" | "options">,
  { name, capabilities: { keyOrder } }: Pick<Transport, "name" | "capabilities">,
): string | undefined {
  if (orderingKey(contract) === undefined)
    return options.orderedBy === undefined
      ? undefined
      : `within each process; to order it across several instances, give the ${contract.kind} a key.`;
  switch (keyOrder) {
    case "sessions":
      return undefined;
    case "single-consumer":
      return `across processes, by one of them at a time: ${name} gives all of it to one, and the next takes over when that ends.`;
    case "partitions":
      return `across processes, by partition: ${name} gives each to one of them at a time, with all its keys.`;
    case "none":
      return `within each process; ${name} cannot order it across several instances.`;
  }
}
