import { at, doubles } from "./faults.ts";
import { orderingKey } from "./key.ts";
import { WaybillError } from "../errors.ts";
import { type Transport, addressOf } from "../ports/transport.ts";
import type { Route } from "./route.ts";
import type { Binding, Service } from "../service.ts";
import { sourceOf } from "./sources.ts";

/** What is wrong with how a handler asks for state, each a sentence. */
export function stateFaults(
  { contract, options: { state }, batch }: Binding,
  where: string,
): string[] {
  if (state === undefined) return [];
  if (typeof state["~standard"]?.validate !== "function")
    return [
      `state of ${where} is no schema; give one that speaks Standard Schema, as for contracts.`,
    ];
  if (batch !== undefined)
    return [`${where} keeps state, and a batch has messages of many keys. Handle them one by one.`];
  if (orderingKey(contract) !== undefined) return [];
  return [
    `${where} keeps state, and the ${contract.kind} has no key to keep it for. Give the contract one: key: (value) => value.id.`,
  ];
}

/** Handlers that read one address share the state of each key. */
export function stateSharingFaults(services: readonly Service[]): readonly string[] {
  const keeping = services.flatMap((service) =>
    service.bindings
      .filter(({ options }) => options.state !== undefined)
      .map((binding) => ({ binding, address: addressOf(sourceOf(service, binding)) })),
  );
  return doubles(keeping, ({ address }) => address)
    .filter(([first, second]) => first.binding.options.state !== second.binding.options.state)
    .map(
      ([{ binding: first, address }, { binding: second }]) =>
        `The handlers of "${first.contract.name}"${at(first.place)} and "${second.contract.name}"${at(second.place)} read "${address}" and so share the state of each key, by two schemas. Give both the same one.`,
    );
}

/** Throws NOT_SUPPORTED where a handler keeps state and the transport does not. */
export function refuseState(
  { contract, options, handlerName }: Pick<Route, "contract" | "options" | "handlerName">,
  { name, capabilities: { sessions, sessionStateBytesMax } }: Transport,
): void {
  if (options.state === undefined || (sessions && sessionStateBytesMax > 0)) return;
  throw new WaybillError(
    "NOT_SUPPORTED",
    `${handlerName} keeps state for each key of the ${contract.kind} "${contract.name}", and ${name} has no sessions that keep any. Keep it in a database of your own, or use a transport whose capabilities.sessionStateBytesMax is above 0.`,
    { details: { contract: contract.name, sessionStateBytesMax } },
  );
}
