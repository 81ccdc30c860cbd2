import type { Source } from "../ports/transport.ts";
import type { Binding, Service } from "../service.ts";
import { type AnyContract, declaredIn } from "./uses.ts";

/** Every contract that a service uses or binds, repeats included. */
export function allContracts(services: readonly Service[]): readonly AnyContract[] {
  return services.flatMap((service) => [
    ...declaredIn(service.uses),
    ...service.bindings.map(({ contract }) => contract),
  ]);
}

/** The contract's name is the address; the service's name is the subscription and the group. `instance` names this process where each has its own. */
export function sourceOf(
  service: Service,
  { contract, options }: Binding,
  instance = "each",
): Source {
  switch (contract.kind) {
    case "command":
      return { kind: "queue", name: contract.queue };
    case "query":
    case "feed":
      return { kind: "queue", name: contract.name };
    case "event":
      return {
        kind: "subscription",
        topic: contract.topic,
        name: [service.name, options.name, options.everyInstance === true ? instance : undefined]
          .filter((part) => part !== undefined)
          .join("."),
      };
    case "stream":
      return { kind: "stream", name: contract.name, group: options.group ?? service.name };
  }
}
