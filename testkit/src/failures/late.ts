import type { Event } from "@waybill/contracts";
import { type Service, service } from "@waybill/core";
import type { FailureStage, Job, Process } from "./stage.ts";

/** Begins a run in that process: it goes on at once, in the late one only when another process has done the work. */
export type Begin = (name: string, run: string, signal: AbortSignal) => Promise<void>;

export interface LateSetting {
  readonly Done: Event<string, Job, Record<never, never>>;
  readonly worker: (name: string, begin: Begin) => Service;
  /** Sends what the late process begins to handle. */
  readonly send: (late: Process) => Promise<void>;
  /** How many `Done` the prompt process publishes. */
  readonly publishes: number;
  /** Whether the late process's settlements have been refused. */
  readonly isRefused: (late: Process) => Promise<boolean>;
}

export interface LateEnd {
  /** Every run, in the order in which they began. */
  readonly runs: readonly string[];
  /** Ids of all `Done` that arrived. */
  readonly published: readonly string[];
}

/** A process stalls longer than its locks while it handles something, another one does the work, and then it goes on. */
export async function stallsAndGoesOn(
  failing: FailureStage,
  { Done, worker, send, publishes, isRefused }: LateSetting,
): Promise<LateEnd> {
  const { stage } = failing;
  const goOn = Promise.withResolvers<void>();
  const runs: string[] = [];
  const published: string[] = [];
  let lateSignal: AbortSignal | undefined;
  const begin: Begin = async (name, run, signal) => {
    runs.push(run);
    if (name !== "late") return;
    lateSignal = signal;
    await goOn.promise;
  };
  const late = await failing.process(worker("late", begin));
  await failing.process(service("reader").on(Done, ({ id }) => void published.push(id)));
  await send(late);
  await stage.until("it has begun", () => runs.length === 1);
  late.breath.stall();
  await failing.process(worker("prompt", begin));
  await stage.until("another instance has done it", () => published.length === publishes);
  late.breath.wake();
  await stage.until("the late handler hears of it", () => lateSignal?.aborted === true);
  goOn.resolve();
  await stage.until("its settlements are refused", () => isRefused(late));
  return { runs, published };
}
