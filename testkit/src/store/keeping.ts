import assert from "node:assert/strict";
import { type Event, type Schema, type Stream, event, stream } from "@waybill/contracts";
import {
  type Bus,
  type TransportFactory,
  type View,
  connect,
  memory,
  service,
  view,
} from "@waybill/core";
import { type Trouble, troubled, watched } from "./application.ts";
import type { StoreStage } from "./stage.ts";

export interface Stated {
  readonly key: string;
  readonly text: string;
  readonly version: number;
}

/** What was counted, in the order of taking, and the newest text. */
export interface Kept {
  readonly counted: readonly string[];
  readonly newest?: string;
}

const stated: Schema<Stated> = {
  "~standard": { version: 1, vendor: "waybill", validate: (value) => ({ value: value as Stated }) },
};
const kept: Schema<Kept> = {
  "~standard": {
    version: 1,
    vendor: "waybill",
    validate: (value) =>
      Array.isArray((Object(value) as Partial<Kept>).counted)
        ? { value: value as Kept }
        : { issues: [{ message: "has no list of texts" }] },
  },
};

type Shown = Record<never, never>;
/** Sums, in whatever order. */
export const Summed: Event<"kept.summed", Stated, Shown> = event("kept.summed", {
  payload: stated,
});
/** The newest counts. */
export const Changed: Event<"kept.changed", Stated, Shown> = event("kept.changed", {
  payload: stated,
});
export const Gone: Event<"kept.gone", Stated, Shown> = event("kept.gone", { payload: stated });
/** In order, by partition. */
export const Logged: Stream<"kept.logged", Stated> = stream("kept.logged", {
  item: stated,
  key: ({ key }) => key,
  partitions: 2,
});

export const names: readonly string[] = Array.from({ length: 24 }, (_, index) => `t-${10 + index}`);

export interface Keeping {
  readonly bus: Bus;
  readonly view: View<Kept>;
  summed(text: string, key?: string): Promise<{ readonly id: string }>;
  changed(text: string, version: number): Promise<{ readonly id: string }>;
  gone(version: number): Promise<{ readonly id: string }>;
  logged(text: string, key?: string): Promise<{ readonly id: string }>;
  row(key?: string): Promise<Kept | undefined>;
}

export interface KeepingOptions {
  readonly trouble?: Trouble;
  readonly transport?: TransportFactory;
  /** Instead of sums, which nobody gives again. */
  readonly backfill?: () => AsyncIterable<{ contract: typeof Changed; value: Stated }>;
}

/** A view that events and a stream keep, and a service that says them. */
export async function keeping(
  stage: StoreStage,
  { trouble = {}, transport = memory(), backfill }: KeepingOptions = {},
): Promise<Keeping> {
  const key = ({ key: own }: Stated): string => own;
  const version = ({ version: own }: Stated): number => own;
  const push = async (row: Kept = { counted: [] }, { text }: Stated): Promise<Kept> => {
    await trouble.beforeCommit?.(text);
    return { ...row, counted: [...row.counted, text] };
  };
  const versioned = { key, version, sequence: "kept" };
  const base = view("kept", { store: troubled(stage, trouble), state: kept })
    .on(Changed, versioned, (row = { counted: [] }, { text }) => ({ ...row, newest: text }))
    .on(Gone, versioned, () => undefined)
    .consume(Logged, {}, push);
  const own: View<Kept> =
    backfill === undefined
      ? base.on(Summed, { key, commutes: true }, push)
      : base.backfill([Changed], backfill);
  const speaking = service("speaking", { publishes: [Summed, Changed, Gone], appends: [Logged] });
  const bus: Bus = await connect({
    transport: watched(transport, new Map(), trouble),
    services: [own, speaking],
    logger: stage.logger,
    handlers: { lockMs: 1_000, retry: { immediate: 0, attempts: 50, delayMs: 2, factor: 1 } },
  });
  stage.closing(() => bus.close({ deadlineMs: 2_000 }));
  return {
    bus,
    view: own,
    summed: (text, name = "one") => bus.publish(Summed, { key: name, text, version: 0 }),
    changed: (text, number) => bus.publish(Changed, { key: "one", text, version: number }),
    gone: (number) => bus.publish(Gone, { key: "one", text: "", version: number }),
    logged: (text, name = "one") => bus.append(Logged, { key: name, text, version: 0 }),
    row: (name = "one") => bus.views(own).get(name),
  };
}

/** Each is taken once; nothing is left. */
export async function everything(stage: StoreStage, app: Keeping, key = "one"): Promise<void> {
  await stage.until(
    "everything",
    async () => ((await app.row(key))?.counted.length ?? 0) >= names.length,
  );
  await atRest(stage, app);
  assert.deepEqual([...((await app.row(key))?.counted ?? [])].toSorted(), names);
}

export function atRest(stage: StoreStage, { bus }: Keeping): Promise<void> {
  return stage.until("rest", async () => {
    const { addresses } = await bus.health();
    return addresses.every(
      ({ ready, inFlight = 0, scheduled = 0 }) => ready + inFlight + scheduled === 0,
    );
  });
}
