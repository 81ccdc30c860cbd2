import { type Event, type Schema, event } from "@waybill/contracts";
import {
  type Bus,
  type Saga,
  type SagaRule,
  type TransportFactory,
  connect,
  memory,
  saga,
  service,
} from "@waybill/core";
import { type Trouble, troubled, watched } from "./application.ts";
import type { StoreStage } from "./stage.ts";

export interface Count {
  readonly tally: string;
  readonly text: string;
}

const count: Schema<Count> = {
  "~standard": { version: 1, vendor: "waybill", validate: (value) => ({ value: value as Count }) },
};
/** What was counted, in order. */
const texts: Schema<string[]> = {
  "~standard": {
    version: 1,
    vendor: "waybill",
    validate: (value) =>
      Array.isArray(value) && value.every((each) => typeof each === "string")
        ? { value }
        : { issues: [{ message: "is no list of texts" }] },
  },
};

type Shown = Record<never, never>;
export const Opened: Event<"tally.opened", Count, Shown> = event("tally.opened", {
  payload: count,
});
export const Counted: Event<"tally.counted", Count, Shown> = event("tally.counted", {
  payload: count,
});
export const Closed: Event<"tally.closed", Count, Shown> = event("tally.closed", {
  payload: count,
});
/** What a tally publishes for each text that it counts. */
export const Noted: Event<"tally.noted", Count, Shown> = event("tally.noted", { payload: count });

export interface Tallying {
  readonly bus: Bus;
  readonly tally: Saga;
  /** What reached the subscriber, with its id, repeated or not. */
  readonly noted: { readonly id: string; readonly text: string }[];
  opened(tally: string): Promise<unknown>;
  counted(tally: string, text: string): Promise<unknown>;
  closed(tally: string): Promise<unknown>;
  state(tally: string): Promise<readonly string[] | undefined>;
}

export interface TallyOptions {
  readonly trouble?: Trouble;
  readonly transport?: TransportFactory;
  readonly rules?: Partial<Record<"unknown" | "late" | "unexpected", SagaRule>>;
}

/** A saga that counts texts, writes each into the user's table and publishes it; and a service that listens. */
export async function tallying(
  stage: StoreStage,
  { trouble = {}, transport = memory(), rules = {} }: TallyOptions = {},
): Promise<Tallying> {
  const noted: { id: string; text: string }[] = [];
  const by = ({ tally }: Count): string => tally;
  const tally = saga("tally", {
    store: troubled(stage, trouble),
    state: texts,
    phases: ["open", "closed"],
    publishes: [Noted],
    archiveMs: 60_000,
    ...rules,
  })
    .startedBy(Opened, { by, state: () => [], to: ["open"] }, () => "open")
    .on(Counted, { by, in: ["open"], to: ["open"] }, async (value, own) => {
      own.state.push(value.text);
      await stage.write(own.transaction, value.text);
      await own.publish(Noted, value);
      await trouble.beforeCommit?.(value.text);
      return "open";
    })
    .on(Closed, { by, in: ["open"], to: ["closed"] }, () => "closed");
  const watching = service("watching", { publishes: [Opened, Counted, Closed] }).on(
    Noted,
    ({ text }, { header }) => void noted.push({ id: header.id, text }),
  );
  const bus: Bus = await connect({
    transport: watched(transport, new Map(), trouble),
    services: [tally, watching],
    logger: stage.logger,
    handlers: { lockMs: 1_000, retry: { immediate: 0, attempts: 8, delayMs: 2, factor: 1 } },
  });
  stage.closing(() => bus.close({ deadlineMs: 30_000 }));
  return {
    bus,
    tally,
    noted,
    opened: (name) => bus.publish(Opened, { tally: name, text: "" }),
    counted: (name, text) => bus.publish(Counted, { tally: name, text }),
    closed: (name) => bus.publish(Closed, { tally: name, text: "" }),
    state: async (name) => (await bus.sagas(tally).find(name))?.state,
  };
}
