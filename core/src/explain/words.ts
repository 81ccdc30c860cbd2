import type { AddressState, Capabilities } from "../ports/transport.ts";
import { circuitInWords, rateInWords } from "./flow-words.ts";
import { duration } from "./duration.ts";
import type { Explained, Order, Retries, ScheduledBy, Taker } from "./explanation.ts";

type Parts = Explained;

/** An explanation for a reader. */
export function inWords(parts: Parts): string {
  const { kind, contract, version, takers, elsewhere } = parts;
  return [
    `The ${kind} "${contract}", version ${version}.`,
    "",
    "Where it goes:",
    ...whereItGoes(parts),
    "",
    "Who gets it:",
    ...(takers.length === 0 ? ["  No handler of this bus."] : takers.flatMap(takerInWords)),
    ...othersInWords(parts, elsewhere),
    "",
    "What if:",
    ...parts.onFailure.map(({ when, outcome }) => `  When ${when}: ${outcome}.`),
  ].join("\n");
}

const survives: Readonly<Record<Capabilities["durability"], string>> = {
  memory: "lies in the memory of the broker, and goes with it",
  "process-crash": "survives the death of every process, not a loss of power",
  "power-loss": "survives a loss of power",
  replicated: "survives the loss of a machine",
};

const verbs = {
  command: "send",
  event: "publish",
  query: "ask",
  feed: "open",
  stream: "append",
} as const;

function scheduled({ service, name, timing }: ScheduledBy): string {
  const when =
    "everyMs" in timing
      ? `every ${duration(timing.everyMs)}`
      : `at "${timing.cron}" in ${timing.timeZone ?? "UTC"}`;
  return `  The schedule "${name}" of ${service} sends it ${when}, once for each moment over all processes.`;
}

function whereItGoes(parts: Parts): readonly string[] {
  const { kind, to, transport, besides, accepted, speakers, schedules, bodyBytesMax, delayMsMax } =
    parts;
  const by = speakers.length === 0 ? "no service of this bus" : speakers.join(", ");
  const kept =
    accepted === undefined
      ? `  It is a call: ${verbs[kind]}() waits for the other side, and nothing is kept. An owner in this process is called directly, unless localCalls is false.`
      : `  When ${verbs[kind]}() outside of a handler has resolved, it ${survives[accepted]}. In a handler it leaves when the handler succeeds.`;
  return [
    `  To the ${to.kind} "${to.name}" of ${transport}, declared by ${by}.`,
    kept,
    ...schedules.map(scheduled),
    ...(besides.length === 0 || accepted === undefined
      ? []
      : [
          `  A handler that reads from ${besides.join(" or ")} sends it before its own message is settled: a crash in between repeats it.`,
        ]),
    `  Its body may have ${bodyBytesMax} bytes.${delayMsMax > 0 ? ` It may be delayed by up to ${duration(delayMsMax)}.` : ""}`,
  ];
}

const orders: Readonly<Record<Order, string>> = {
  none: "as sent while one is handled at a time; handled side by side or retried, one may overtake another",
  "key by one process":
    "of one key one after another, across processes: one of them at a time gets everything",
  "key by partition":
    "of one key one after another, across processes: each gets some of the partitions, with all their keys",
  "key in process": "of one key one after another within each process; not between processes",
  key: "of one key one after another, over all processes",
  partition: "of one partition one after another, over all members of the group",
};

function takerInWords(taker: Taker): readonly string[] {
  const { handler, place, address, where, set, sharedWith, concurrency, prefetch, lockMs } = taker;
  const wanted = where === undefined ? "" : `, where ${JSON.stringify(where)}`;
  const changed = set === undefined ? "" : `, attributes changed by ${JSON.stringify(set)}`;
  const shared = sharedWith.length === 0 ? "" : `, together with ${sharedWith.join(", ")}`;
  return [
    `  ${handler}${place === "" ? "" : ` at ${place}`}`,
    `    reads "${address}"${wanted}${changed}${shared}`,
    ...(taker.everyInstance ? ["    by each process for itself, while it runs"] : []),
    ...(taker.batch === undefined ? [] : [`    ${batchInWords(taker.batch)}`]),
    `    ${concurrency} at a time in each process, ${prefetch} fetched ahead, locked for ${duration(lockMs)} and renewed while the process lives`,
    ...(taker.timeoutMs === undefined
      ? []
      : [`    given up when a run has not ended after ${duration(taker.timeoutMs)} and a second`]),
    `    order: ${orders[taker.order]}`,
    ...(taker.retry === undefined ? [] : [`    retries: ${retriesInWords(taker.retry)}`]),
    ...(taker.rate === undefined ? [] : [`    rate: ${rateInWords(taker.rate)}`]),
    ...(taker.circuit === undefined ? [] : [`    circuit: ${circuitInWords(taker.circuit)}`]),
    ...(taker.state === undefined ? [] : [`    now: ${stateInWords(taker.state)}`]),
  ];
}

function batchInWords({ size, maxAgeMs, bytesMax }: NonNullable<Taker["batch"]>): string {
  return `in batches of up to ${size} messages or ${bytesMax} bytes, closed when the oldest has waited ${duration(maxAgeMs)}`;
}

function retriesInWords({ runsPerDelivery, attempts, pausesMs, jitter, inPlace }: Retries): string {
  const runs = runsPerDelivery === 1 ? "" : `, ${runsPerDelivery} runs at once in each`;
  if (attempts === 1) return `1 attempt${runs}`;
  const chance = jitter === 0 ? "" : `, each up to ${Math.round(jitter * 100)} % shorter by chance`;
  const place = inPlace
    ? "; it waits where it stands and holds back what comes after it in its order"
    : "";
  return `${attempts} attempts${runs}, after pauses of ${pausesInWords(pausesMs)}${chance}${place}`;
}

const pausesShown = 8;

function pausesInWords(pausesMs: readonly number[]): string {
  const shown = pausesMs.slice(0, pausesShown).map(duration).join(", ");
  const more = pausesMs.length - pausesShown;
  return more <= 0
    ? shown
    : `${shown} and ${more} more of up to ${duration(Math.max(...pausesMs))}`;
}

/** What the broker does not know is left out. */
function stateInWords({ oldestReadyMs = 0, ...state }: AddressState): string {
  const oldest = oldestReadyMs === 0 ? "" : ` (the oldest for ${duration(oldestReadyMs)})`;
  const counts = [
    [state.inFlight, "in flight"],
    [state.scheduled, "scheduled"],
    [state.deferred, "deferred"],
    [state.dead, "dead"],
  ] as const;
  const known = counts.flatMap(([count, what]) =>
    count === undefined ? [] : [`${count} ${what}`],
  );
  const receivers =
    state.receivers === undefined ? "" : `; ${state.receivers} receivers over all processes`;
  const held =
    state.paused === undefined
      ? ""
      : `; paused since ${new Date(state.paused.since).toISOString()}: ${state.paused.reason}`;
  return `${[`${state.ready} ready${oldest}`, ...known].join(", ")}${receivers}${held}`;
}

function othersInWords(
  { takers }: Parts,
  elsewhere: readonly AddressState[] | undefined,
): readonly string[] {
  if (elsewhere === undefined)
    return ["  The broker did not say who else does, nor what waits there."];
  if (elsewhere.length === 0)
    return takers.length === 0 ? ["  Nor does anybody on the broker."] : [];
  return elsewhere.map((state) => {
    const rule =
      state.kind === "subscription" ? " (its rule is known where it is declared only)" : "";
    return `  On the broker: "${state.address}"${rule}: ${stateInWords(state)}`;
  });
}
