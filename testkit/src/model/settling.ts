import { type Settlement, WaybillError } from "@waybill/core";
import { failure } from "../suite/messages.ts";
import { type Command, compose, pick } from "./compose.ts";
import { comeBack } from "./item.ts";
import type { Held } from "./client.ts";
import type { Run } from "./run.ts";
import { fail } from "./violation.ts";

const retryDelaysMs = [0, 500, 2_000];
const releaseDelaysMs = [0, 0, 0, 700];

/** Picks a delivery that was not settled, and puts it among those that were. */
function take(run: Run, choice: number): Held | undefined {
  const held = pick(run.held, choice);
  if (held === undefined) return undefined;
  run.held.splice(run.held.indexOf(held), 1);
  run.settled.push(held);
  if (run.settled.length > 20) run.settled.shift();
  return held;
}

/** Settles, after the model has; the answer must be what the model knows. */
async function settle(
  run: Run,
  held: Held,
  parts: { settlement: Settlement; apply: () => void },
): Promise<string> {
  const stands = held.item.holder === held;
  if (stands) {
    parts.apply();
    held.item.holder = undefined;
  }
  const answer = await run.finished(held.delivery.settle(parts.settlement));
  const expected = stands ? "settled" : "lockLost";
  const { kind } = parts.settlement;
  const words = `${kind} ${held.item.id} of ${held.item.address}`;
  if (answer !== expected) fail(`${words} answered ${answer} instead of ${expected}`);
  return `${held.client.instance} settles: ${words}: ${answer}`;
}

const complete: Command = async (run, [which, how]) => {
  const held = take(run, which);
  if (held === undefined) return undefined;
  const body = how % 3 === 0 ? undefined : `state ${run.step}`;
  const leaves = held.item.kind === "session" && how % 4 > 1;
  const apply = (): void => {
    run.world.end(held.item);
    if (leaves) run.world.keep(held.item, body);
  };
  const settlement = { kind: "complete", ...(leaves && { state: { body } }) } as const;
  return settle(run, held, { settlement, apply });
};

/** Reads what a session keeps, and writes something else; who does not hold it can do neither. */
const writeState: Command = async (run, [which, how]) => {
  const all = [...run.held, ...run.settled].filter(({ item }) => item.kind === "session");
  const held = pick(all, which);
  if (held === undefined) return undefined;
  const { item, delivery } = held;
  const stands = item.holder === held;
  const words = `the state of ${item.key} at ${item.address} by ${item.id}`;
  const reading = delivery.session?.read() ?? fail(`${item.id} came without its session`);
  await run.finished(reading.catch(() => {}));
  const state = await reading.catch((error: unknown) => error);
  const expected = run.world.kept(item);
  const isLost = state instanceof WaybillError && state.code === "LOCK_LOST";
  if (stands ? state !== expected : !isLost)
    fail(`reading ${words} answered ${String(state)}, not ${stands ? expected : "LOCK_LOST"}`);
  const body = how % 3 === 0 ? undefined : `written ${run.step}`;
  if (stands) run.world.keep(item, body);
  const answer = await run.finished(delivery.session?.write(body) ?? Promise.resolve("unknown"));
  if (answer !== (stands ? "settled" : "lockLost")) fail(`writing ${words} answered ${answer}`);
  return `${held.client.instance} writes ${words}: ${body}`;
};

const completeAndSend: Command = async (run, choice) => {
  const held = take(run, choice[0]);
  if (held === undefined) return undefined;
  const [sent, outgoing] = compose(run, "queue", choice);
  const apply = (): void => {
    run.world.end(held.item);
    run.world.send(sent, run.moment);
  };
  return settle(run, held, { settlement: { kind: "complete", send: [outgoing] }, apply });
};

/** What leaves with it is refused: nothing changes, and it is still held. */
const completeRefused: Command = async (run, choice) => {
  const held = pick(run.held, choice[0]);
  if (held === undefined || held.item.holder !== held) return undefined;
  const [, outgoing] = compose(run, "queue", choice);
  const astray = { ...outgoing, to: { kind: "queue", name: "nowhere" } } as const;
  held.refused = true;
  const settling = held.delivery.settle({ kind: "complete", send: [outgoing, astray] });
  await run.finished(settling.catch(() => {}));
  await settling.then(
    (answer) => fail(`completing ${held.item.id} with a send to nowhere answered ${answer}`),
    (error: unknown) => {
      if (!(error instanceof WaybillError) || error.code !== "UNROUTABLE")
        fail(`a send to nowhere was refused with ${String(error)}`);
    },
  );
  return `${held.client.instance} completes ${held.item.id} and sends to nowhere`;
};

const release: Command = async (run, [which, how]) => {
  const held = take(run, which);
  if (held === undefined) return undefined;
  const { item } = held;
  const canWait = item.kind === "queue" || item.kind === "session";
  const delayMs = canWait ? (pick(releaseDelaysMs, how) ?? 0) : 0;
  const apply = (): void => {
    item.attempt -= 1;
    waitFor(run, held, delayMs);
  };
  return settle(run, held, { settlement: { kind: "release", delayMs }, apply });
};

/** It comes back after a time; in a session nothing overtakes it meanwhile. */
function waitFor(run: Run, held: Held, delayMs: number): void {
  const { item } = held;
  comeBack(item, run.moment);
  if (delayMs > 0) item.due = run.moment.now + delayMs;
  if (item.kind === "session") run.world.holdBack(item, held, run.moment);
  else if (delayMs > 0) {
    item.state = "scheduled";
    item.orderly = false;
  }
}

/** A stream has neither retry nor deferral. */
function takeFromQueue(run: Run, choice: number): Held | undefined {
  const ofQueues = run.held.filter(({ item: { kind } }) => kind === "queue" || kind === "session");
  const held = pick(ofQueues, choice);
  return held && take(run, run.held.indexOf(held));
}

const retry: Command = async (run, [which, how]) => {
  const held = takeFromQueue(run, which);
  if (held === undefined) return undefined;
  const { item } = held;
  const delayMs = pick(retryDelaysMs, how) ?? 0;
  const reason = { ...failure(item.attempt), message: `${item.id} failed ${item.attempt}` };
  const apply = (): void => {
    item.failure = reason.message;
    if (item.kind === "queue") item.orderly = false;
    waitFor(run, held, delayMs);
  };
  return settle(run, held, { settlement: { kind: "retry", delayMs, failure: reason }, apply });
};

const deadLetter: Command = async (run, [which, how]) => {
  const held = take(run, which);
  if (held === undefined) return undefined;
  const { item } = held;
  const park = how % 2 === 1;
  const message = `${item.id} died in step ${run.step}`;
  const reason = { ...failure(item.attempt), message };
  const apply = (): void => {
    run.world.bury(item, message, park);
    if (item.parks) run.world.holdBack(item, held, run.moment);
  };
  const settlement = { kind: "deadLetter", failure: reason, park } as const;
  return settle(run, held, { settlement, apply });
};

const defer: Command = async (run, [which]) => {
  const held = takeFromQueue(run, which);
  if (held === undefined) return undefined;
  const apply = (): void => void (held.item.state = "deferred");
  return settle(run, held, { settlement: { kind: "defer" }, apply });
};

/** Once more: whoever has settled holds nothing. */
const settleAgain: Command = async (run, [which, how]) => {
  const held = pick(run.settled, which);
  if (held === undefined) return undefined;
  const settlement = ([{ kind: "complete" }, { kind: "release" }] as const)[how % 2];
  return settle(run, held, { settlement: settlement ?? { kind: "complete" }, apply: () => {} });
};

export const settlingCommands: readonly (readonly [string, number, Command])[] = [
  ["complete", 6, complete],
  ["writeState", 2, writeState],
  ["completeAndSend", 2, completeAndSend],
  ["completeRefused", 1, completeRefused],
  ["release", 3, release],
  ["retry", 3, retry],
  ["deadLetter", 3, deadLetter],
  ["defer", 2, defer],
  ["settleAgain", 2, settleAgain],
];
