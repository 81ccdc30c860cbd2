import type { BatchBounds } from "./batch.ts";
import { at, isCount, shown } from "../wiring/faults.ts";
import { addressOf } from "../ports/transport.ts";
import type { Binding, Service } from "../service.ts";
import { sourceOf } from "../wiring/sources.ts";

export const batchConcurrencyDefault = 1;
export const prefetchMax = 10_000;
const bytesMaxDefault = 4 * 1024 * 1024;

export function batchBounds(batch: BatchBounds): Required<BatchBounds> {
  return { bytesMax: bytesMaxDefault, ...batch };
}

/** Room for the batches that run and for those that are gathered meanwhile, twice. */
export function batchPrefetch({ size }: BatchBounds, concurrency: number): number {
  return Math.min(prefetchMax, size * (concurrency + 1) * 2);
}

const bounds: readonly (readonly [keyof BatchBounds, number, number])[] = [
  ["size", 1, 5_000],
  ["maxAgeMs", 0, 60_000],
  ["bytesMax", 1, 16 * 1024 * 1024],
];

/** What is wrong with how a batch is asked for, each a sentence. */
export function batchFaults({ verb, batch, options }: Binding, where: string): readonly string[] {
  if (batch === undefined) {
    return "batch" in options
      ? [`${where} asks for batches; bind it with ${verb}Batch(), whose handler takes a list.`]
      : [];
  }
  if (typeof batch !== "object" || batch === null)
    return [`${where} has no bounds; give batch: { size, maxAgeMs }.`];
  const faults = bounds.flatMap(([field, least, most]) => {
    const value: unknown = batch[field];
    const fits =
      (value === undefined && field === "bytesMax") ||
      (Number.isInteger(value) && Number(value) >= least && Number(value) <= most);
    return fits
      ? []
      : [
          `batch.${field} of ${where} is ${shown(value)}; give a whole number from ${least} to ${most}.`,
        ];
  });
  const { concurrency = batchConcurrencyDefault, prefetch = prefetchMax } = options;
  const needed = batch.size * concurrency;
  if (faults.length === 0 && isCount(needed) && needed > prefetch)
    faults.push(
      `${where} wants ${concurrency} batches of ${batch.size} at a time and fetches ${prefetch} messages ahead, so they would never be full. Make prefetch ${needed} or more (10,000 at most), or the batches smaller.`,
    );
  return faults;
}

/** Batches gather from an address of their own: beside other handlers neither order nor bounds could be kept. */
export function batchSharingFaults(services: readonly Service[]): readonly string[] {
  const bound = services.flatMap((service) =>
    service.bindings.map((binding) => ({
      binding,
      address: addressOf(sourceOf(service, binding)),
    })),
  );
  const shared = [...Map.groupBy(bound, ({ address }) => address)].filter(
    ([, all]) => all.length > 1 && all.some(({ binding }) => binding.batch !== undefined),
  );
  return shared.map(([address, all]) => {
    const names = all.map(({ binding }) => `"${binding.contract.name}"${at(binding.place)}`);
    return `A batch handler shares "${address}" with others: ${names.join(", ")}. Give its contract a queue or topic of its own, or its subscription a name.`;
  });
}
