import { WaybillError } from "../errors.ts";
import type { Owner, QueueSpec } from "../ports/transport.ts";

/** Which living instance handles which queue, so that two services never compete for one command by mistake. */
export class Owners {
  readonly #claims = new Map<string, { readonly instance: object; readonly owner: Owner }[]>();

  /** Throws OWNED_TWICE when another service owns one of the queues. */
  check(specs: readonly QueueSpec[]): void {
    const incoming = new Map<string, Owner>();
    for (const { name, owner } of specs) {
      if (owner === undefined) continue;
      const others = (this.#claims.get(name) ?? []).map((claim) => claim.owner);
      const before = incoming.get(name);
      for (const other of before === undefined ? others : [...others, before]) {
        if (other.service !== owner.service) throw ownedTwice(name, other, owner);
      }
      incoming.set(name, owner);
    }
  }

  claim(name: string, owner: Owner, instance: object): void {
    const claims = (this.#claims.get(name) ?? []).filter(
      (claim) => claim.instance !== instance || claim.owner.service !== owner.service,
    );
    this.#claims.set(name, [...claims, { instance, owner }]);
  }

  release(instance: object): void {
    for (const [name, claims] of this.#claims) {
      const left = claims.filter((claim) => claim.instance !== instance);
      if (left.length === 0) this.#claims.delete(name);
      else this.#claims.set(name, left);
    }
  }
}

function ownedTwice(queue: string, first: Owner, second: Owner): WaybillError {
  return new WaybillError(
    "OWNED_TWICE",
    `Two services handle "${queue}": "${first.service}" at ${first.place} and "${second.service}" at ${second.place}. ` +
      "Remove one of the two handlers, or make it an event, which any number of services may handle.",
    { details: { queue, owners: [first, second] } },
  );
}
