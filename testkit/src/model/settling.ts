import { type Settlement, WaybillError } from "@waybill/core";
import { failure } from "../suite/messages.ts";
import { type Choice, type Command, compose, pick } from "./compose.ts";
import type { Item } from "./item.ts";
import { type Client, type Held, type Run, fail } from "./run.ts";
import { comeBack } from "./world.ts";

const retryDelaysMs = [0, 500, 2_000];

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

const complete: Command = async (run, [which]) => {
  const held = take(run, which);
  if (held === undefined) return undefined;
  const apply = (): void => run.world.end(held.item, "gone");
  return settle(run, held, { settlement: { kind: "complete" }, apply });
};

const completeAndSend: Command = async (run, choice) => {
  const held = take(run, choice[0]);
  if (held === undefined) return undefined;
  const [sent, outgoing] = compose(run, "queue", choice);
  const apply = (): void => {
    run.world.end(held.item, "gone");
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

const release: Command = async (run, [which]) => {
  const held = take(run, which);
  if (held === undefined) return undefined;
  const apply = (): void => {
    held.item.attempt -= 1;
    comeBack(held.item, run.moment);
  };
  return settle(run, held, { settlement: { kind: "release" }, apply });
};

/** A stream has neither retry nor deferral. */
function takeFromQueue(run: Run, choice: number): Held | undefined {
  const ofQueues = run.held.filter(({ item }) => item.key === undefined);
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
    comeBack(item, run.moment);
    item.orderly = false;
    item.failure = reason.message;
    if (delayMs === 0) return;
    item.state = "scheduled";
    item.due = run.moment.now + delayMs;
  };
  return settle(run, held, { settlement: { kind: "retry", delayMs, failure: reason }, apply });
};

const deadLetter: Command = async (run, [which]) => {
  const held = take(run, which);
  if (held === undefined) return undefined;
  const { item } = held;
  const reason = { ...failure(item.attempt), message: `${item.id} died ${item.attempt}` };
  const apply = (): void => {
    run.world.end(item, "dead");
    item.failure = reason.message;
  };
  return settle(run, held, { settlement: { kind: "deadLetter", failure: reason }, apply });
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

async function aside(
  run: Run,
  choice: Choice,
  act: (client: Client, found: { item: Item; handle: string }) => Promise<string>,
): Promise<string | undefined> {
  const item = pick(
    [...run.world.items()].filter(
      ({ state, mayRepeat, copied }) =>
        (state === "dead" || state === "deferred") && !mayRepeat && !copied,
    ),
    choice[0],
  );
  if (item === undefined) return undefined;
  const client = pick(run.clients, choice[1]) as Client;
  const { inspection } = client.transport;
  const { state, address, id } = item;
  const listed = await inspection.list({ state: state as "dead", address, limit: 1_000 });
  const found = listed.find(({ envelope }) => envelope.body === id);
  if (found === undefined) return fail(`${id} is ${state} at ${address} and is not listed there`);
  return act(client, { item, handle: found.handle });
}

const replay: Command = (run, choice) =>
  aside(run, choice, async (client, { item, handle }) => {
    const expected = run.world.replay(item, run.moment) ? 1 : 0;
    const count = await run.finished(client.transport.inspection.replay([handle]));
    if (count !== expected) fail(`replaying ${item.id} answered ${count} instead of ${expected}`);
    const stale = await run.finished(
      client.transport.inspection.replay(expected === 1 ? [handle] : []),
    );
    if (stale !== 0) fail(`replaying ${item.id} by its old handle answered ${stale}`);
    return `${client.instance} replays ${item.id} of ${item.address}`;
  });

const discard: Command = (run, choice) =>
  aside(run, choice, async (client, { item, handle }) => {
    item.state = "gone";
    const count = await run.finished(client.transport.inspection.discard([handle, handle]));
    if (count !== 1) fail(`discarding ${item.id} twice answered ${count} instead of 1`);
    return `${client.instance} discards ${item.id} of ${item.address}`;
  });

export const settlingCommands: readonly (readonly [string, number, Command])[] = [
  ["complete", 6, complete],
  ["completeAndSend", 2, completeAndSend],
  ["completeRefused", 1, completeRefused],
  ["release", 3, release],
  ["retry", 3, retry],
  ["deadLetter", 3, deadLetter],
  ["defer", 2, defer],
  ["settleAgain", 2, settleAgain],
  ["replay", 3, replay],
  ["discard", 1, discard],
];
