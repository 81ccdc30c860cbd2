import type { Command } from "@waybill/contracts";
import { at, doubles } from "./faults.ts";
import { destinationOf } from "../handling/message.ts";
import { contractNameFault } from "./names.ts";
import { addressOf } from "../ports/transport.ts";
import type { Service } from "../service.ts";
import { allContracts, sourceOf } from "./sources.ts";
import type { AnyContract } from "./uses.ts";
import { destinationText } from "../wire/wire.ts";

/** Types under which messages of the contract come. */
export function typesOf(contract: AnyContract): readonly string[] {
  const former = contract.kind === "command" ? (contract.formerNames ?? []) : [];
  return [contract.name, ...former];
}

const formerNamesMax = 10;

/** What is wrong with the former names of a command by itself. */
export function formerNameFaults(
  { name, queue, formerNames = [] }: Command,
  named: string,
): readonly string[] {
  if (!Array.isArray(formerNames) || formerNames.length > formerNamesMax)
    return [`The formerNames of ${named} are no list of at most ${formerNamesMax} names.`];
  return (formerNames as readonly string[]).flatMap((former) => {
    if (former === name || former === queue)
      return [`The former name "${former}" of ${named} is its present one or its queue.`];
    const fault = contractNameFault(former);
    return fault === undefined
      ? []
      : [`The former name "${former}" of ${named} is not legal: ${fault}.`];
  });
}

/** What is forwarded reaches no handler of its own, and goes one way. */
export function sharedFormerNameFaults(services: readonly Service[]): readonly string[] {
  const handled = new Set(
    services.flatMap((service) =>
      service.bindings.map((binding) => addressOf(sourceOf(service, binding))),
    ),
  );
  const contracts = [...new Set(allContracts(services))];
  const former = contracts.flatMap((contract) =>
    typesOf(contract)
      .slice(1)
      .map((name) => ({ name, contract })),
  );
  return [
    ...former
      .filter(({ name }) => handled.has(name))
      .map(
        ({ name, contract }) =>
          `"${name}" is a former name of the command "${contract.name}"${at(contract.definedAt)}, to which it is forwarded, and is handled here. Remove that handler.`,
      ),
    ...doubles(former, ({ name }) => name).map(
      ([first, second]) =>
        `"${first.name}" is a former name of "${first.contract.name}"${at(first.contract.definedAt)} and of "${second.contract.name}"${at(second.contract.definedAt)}. Only one can have it.`,
    ),
  ];
}

/** By the destination and the type of a forwarded message: for where it was sealed. */
export function formerDestinations(contracts: readonly AnyContract[]): ReadonlyMap<string, string> {
  return new Map(
    contracts.flatMap((contract) =>
      typesOf(contract)
        .slice(1)
        .map((former) => [
          `${destinationText(destinationOf(contract))} ${former}`,
          destinationText({ kind: "queue", name: former }),
        ]),
    ),
  );
}
