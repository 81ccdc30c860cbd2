import type { AddressState } from "../ports/transport.ts";
import { addressOf } from "../ports/transport.ts";
import type { Store } from "../ports/store.ts";
import type { ViewProgress } from "../ports/view-rows.ts";
import type { Service } from "../service.ts";
import { sourceOf } from "../wiring/sources.ts";

/** How far a view has come in one of its sources. */
export interface ViewSourceStatus {
  /** The name of the contract. */
  readonly contract: string;
  /** The address from which it receives. */
  readonly address: string;
  /** Messages taken by the rows that are read. */
  readonly applied: number;
  /** When the newest of them was sent, by the clock of its sender; undefined before the first. */
  readonly sentAt: Date | undefined;
  /** When the last of them was taken. */
  readonly appliedAt: Date | undefined;
  /** Of a stream: by partition, the offset of the last item. */
  readonly offsets: ViewProgress["offsets"];
  /** Messages that wait at the address; undefined where the broker does not count, or did not answer. */
  readonly waiting: number | undefined;
  /** How long the oldest of them has waited, in milliseconds; 0 where none waits. */
  readonly behindMs: number | undefined;
}

/** How far a view has come. */
export interface ViewStatus {
  readonly name: string;
  /** One more with each rebuild. */
  readonly generation: number;
  /** Undefined while it is not rebuilt. */
  readonly building: { readonly generation: number; readonly since: Date } | undefined;
  readonly sources: readonly ViewSourceStatus[];
}

/** A view as its store and the broker know it. */
export async function statusOf(
  service: Service,
  { views }: Pick<Store, "views">,
  addresses: readonly AddressState[],
): Promise<ViewStatus> {
  const state = await views.state(service.name);
  const building = state?.building;
  return {
    name: service.name,
    generation: state?.generation ?? 0,
    building: building && { generation: building.generation, since: new Date(building.since) },
    sources: service.bindings.map((binding) => {
      const { name } = binding.contract;
      const address = addressOf(sourceOf(service, binding));
      const progress = state?.progress.find(({ source }) => source === name);
      const there = addresses.find((each) => each.address === address);
      return {
        contract: name,
        address,
        applied: progress?.applied ?? 0,
        sentAt: progress && new Date(progress.sentAt),
        appliedAt: progress && new Date(progress.appliedAt),
        offsets: progress?.offsets ?? [],
        waiting: there && there.ready + (there.inFlight ?? 0),
        behindMs: there?.oldestReadyMs,
      };
    }),
  };
}
