import { addressOf, type Destination, type Source, WaybillError } from "@waybill/core";
import { topology } from "../suite/messages.ts";
import { type Command, compose, pick } from "./compose.ts";
import type { Client } from "./client.ts";
import { inspectingCommands } from "./inspecting.ts";
import { forwardingQueue, plainQueue, receivable, sessionQueue } from "./places.ts";
import { type Run, lockMs } from "./run.ts";
import { fail } from "./violation.ts";
import { settlingCommands } from "./settling.ts";
import { subscriptions, variantCount } from "./topics.ts";
import type { Sent } from "./sent.ts";

const advancesMs = [1, 400, 1_000, 2_500, 5_000, 12_000];
const clientsMax = 4;

/** A process that may die: all but the first, which looks after the broker. */
function mortal(run: Run, choice: number): Client | undefined {
  return pick(run.clients.slice(1), choice);
}

function unsettle(run: Run, source: Source): void {
  const group = addressOf(source);
  run.world.log(group).unsettle(group);
}

function sending(kind: Sent["kind"]): Command {
  return async (run, choice) => {
    const client = pick(run.clients, choice[0]) as Client;
    const count = 1 + (choice[2] % 3 === 2 ? 2 : 0);
    const batch = Array.from({ length: count }, (_, index) =>
      compose(run, kind, [choice[1], choice[2] + index, choice[0]]),
    );
    for (const [sent] of batch) run.world.send(sent, run.moment);
    await run.finished(client.transport.send(batch.map(([, outgoing]) => outgoing)));
    return `${client.instance} sends ${batch.map(([{ id }]) => id).join(", ")} to ${kind}`;
  };
}

/** Refused as a whole: one of the batch has nowhere to go. */
const sendAstray: Command = async (run, choice) => {
  const client = pick(run.clients, choice[0]) as Client;
  const [, good] = compose(run, "queue", choice);
  const name = pick(["nowhere", ...run.endedQueues], choice[2]) ?? "";
  const to: Destination = { kind: "queue", name };
  const sent = client.transport.send([good, { ...good, to }]);
  await run.finished(sent.catch(() => {}));
  await sent.then(
    () => fail("a batch with an unknown queue was taken"),
    (error: unknown) => {
      if (!(error instanceof WaybillError) || error.code !== "UNROUTABLE")
        fail(`a batch with an unknown queue was refused with ${String(error)}`);
    },
  );
  return `${client.instance} sends to ${name}`;
};

/** Declares a queue that ends with its client, which alone reads it. */
async function openReplies(run: Run, client: Client, prefetch: number): Promise<string> {
  const name = `replies-${client.instance}`;
  const queues = [{ name, temporary: true }];
  await run.finished(client.transport.declare(topology({ queues })));
  client.replies = name;
  run.receive(client, { kind: "queue", name }, { prefetch });
  return name;
}

/** To a queue that ends with its process; the first time that is declared. */
const sendReply: Command = async (run, choice) => {
  const [who, whose] = choice;
  const client = pick(run.clients, who) as Client;
  const owner = pick(run.clients, whose) as Client;
  const queue = owner.replies ?? (await openReplies(run, owner, 1 + (choice[2] % 3)));
  const [sent, outgoing] = compose(run, { queue }, choice);
  run.world.send(sent, run.moment);
  await run.finished(client.transport.send([outgoing]));
  return `${client.instance} sends ${sent.id} to ${queue}`;
};

const receive: Command = async (run, [who, what, room]) => {
  const client = pick(run.clients, who) as Client;
  const source = pick(receivable, what);
  if (source === undefined || client.readings.size >= 6) return undefined;
  const prefetch = [2, 1, 5][room % 3] ?? 2;
  // One at a time: then several messages of it are held at once.
  const sessions = room % 4 < 3 ? 1 : prefetch;
  run.receive(client, source, { prefetch, sessions });
  await run.rest();
  return `${client.instance} receives from ${JSON.stringify(source)} with prefetch ${prefetch}, sessions ${sessions}`;
};

const stop: Command = async (run, [who, which]) => {
  const client = pick(run.clients, who) as Client;
  const reading = pick([...client.readings], which);
  if (reading === undefined) return undefined;
  if (reading.source.kind === "stream") unsettle(run, reading.source);
  client.readings.delete(reading);
  await run.finished(reading.receiver.stop());
  return `${client.instance} stops receiving from ${JSON.stringify(reading.source)}`;
};

const pauseOrResume: Command = async (run, [who, which]) => {
  const client = pick(run.clients, who) as Client;
  const reading = pick([...client.readings], which);
  if (reading === undefined) return undefined;
  reading.paused = !reading.paused;
  if (reading.paused) reading.receiver.pause();
  else reading.receiver.resume();
  await run.rest();
  return `${client.instance} ${reading.paused ? "pauses" : "resumes"} ${JSON.stringify(reading.source)}`;
};

const advance: Command = async (run, [how]) => {
  const ms = pick(advancesMs, how) ?? 1;
  await run.subject.environment.advance(ms);
  return `${ms} ms go by`;
};

const open: Command = async (run) => {
  if (run.clients.length >= clientsMax) return undefined;
  const { instance } = await run.open();
  return `${instance} opens`;
};

const crash: Command = async (run, [who]) => {
  const client = mortal(run, who);
  if (client === undefined) return undefined;
  run.remove(client, "runs out");
  if (run.subject.crash === undefined) client.environment.stall();
  else run.subject.crash(client.instance);
  return `${client.instance} is killed`;
};

const leave: Command = async (run, [who]) => {
  const client = mortal(run, who);
  if (client === undefined) return undefined;
  run.remove(client, "given back");
  await run.finished(Promise.resolve(client.transport[Symbol.asyncDispose]()));
  return `${client.instance} closes`;
};

/** Short: it keeps its locks. Long: it has lost them all when it wakes, and what it settles just before it notices is refused. */
const stall: Command = async (run, [who, how, which]) => {
  const client = mortal(run, who);
  if (client === undefined) return undefined;
  const long = how % 2 === 1;
  client.environment.stall();
  const mine = run.held.filter((held) => held.client === client);
  if (long) {
    run.unsettle(client);
    for (const held of mine) run.orphan(held, run.moment.now);
    await run.subject.environment.advance(lockMs + run.subject.slackMs);
  } else await run.subject.environment.advance(lockMs / 2);
  const hasty = long ? pick(mine, which) : undefined;
  const late = hasty?.delivery.settle({ kind: "complete" });
  client.environment.wake();
  await run.rest();
  const answer = late && (await run.finished(late));
  if (answer !== undefined && answer !== "lockLost")
    fail(`completing ${hasty?.item.id} after its lock was lost answered ${answer}`);
  return `${client.instance} stalls for ${long ? "longer" : "less"} than its locks last`;
};

const redeclare: Command = async (run, [who, which]) => {
  const client = pick(run.clients, who) as Client;
  const variant = which % variantCount;
  run.world.variant = variant;
  await run.finished(client.transport.declare(topology({ subscriptions: subscriptions(variant) })));
  return `${client.instance} declares the subscriptions anew, variant ${variant}`;
};

/** What arrives at one queue goes on to another, or stays from now on; the same for dead letters of two queues. */
const redirect: Command = async (run, [who, where, dead]) => {
  const client = pick(run.clients, who) as Client;
  const to = pick([plainQueue, sessionQueue, undefined], where);
  const forwardTo = to === undefined ? false : ({ kind: "queue", name: to } as const);
  const [deadTo, sessionsDeadTo] = [dead % 2, Math.floor(dead / 2) % 2].map((choice) =>
    choice === 0 ? undefined : plainQueue,
  );
  const queues = [
    { name: forwardingQueue, forwardTo, forwardDeadLettersTo: deadTo ?? false },
    { name: sessionQueue, forwardDeadLettersTo: sessionsDeadTo ?? false },
  ] as const;
  const { ways } = run.world;
  ways.forward(forwardingQueue, { to, deadTo }, run.moment);
  ways.forward(sessionQueue, { to: undefined, deadTo: sessionsDeadTo }, run.moment);
  await run.finished(client.transport.declare(topology({ queues })));
  ways.declared();
  return `${client.instance} lets ${JSON.stringify(queues)}`;
};

/** By name, with how often each is drawn. */
const table: readonly (readonly [name: string, weight: number, command: Command])[] = [
  ["advance", 4, advance],
  ["send", 8, sending("queue")],
  ["publish", 3, sending("topic")],
  ["append", 4, sending("stream")],
  ["sendReply", 2, sendReply],
  ["receive", 9, receive],
  ...settlingCommands,
  ...inspectingCommands,
  ["sendAstray", 1, sendAstray],
  ["stop", 2, stop],
  ["pauseOrResume", 2, pauseOrResume],
  ["open", 2, open],
  ["crash", 2, crash],
  ["leave", 2, leave],
  ["stall", 2, stall],
  ["redeclare", 1, redeclare],
  ["redirect", 3, redirect],
];

/** Every command as often as it weighs. */
export const commands: readonly (readonly [name: string, command: Command])[] = table.flatMap(
  ([name, weight, command]) => Array.from({ length: weight }, () => [name, command] as const),
);
