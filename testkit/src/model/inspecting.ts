import type { MessageState, Resumed, SeekTarget } from "@waybill/core";
import { addressOf } from "@waybill/core";
import type { Client } from "./client.ts";
import { type Choice, type Command, pick } from "./compose.ts";
import { type Item, type ListedState, comeBack, statesAllowed } from "./item.ts";
import type { Log, SeekPlace } from "./log.ts";
import { pausable, sources } from "./places.ts";
import type { Run } from "./run.ts";
import { fail } from "./violation.ts";

async function aside(
  run: Run,
  choice: Choice,
  act: (client: Client, found: { item: Item; handle: string }) => Promise<string>,
): Promise<string | undefined> {
  const item = pick(
    [...run.world.items()].filter(({ state }) => state === "dead" || state === "deferred"),
    choice[0],
  );
  if (item === undefined) return undefined;
  const client = pick(run.clients, choice[1]) as Client;
  const { inspection } = client.transport;
  const { state, id } = item;
  const address = item.keptAt ?? item.address;
  const listed = await inspection.list({ state: state as MessageState, address, limit: 1_000 });
  const found = listed.find(
    ({ envelope, failure }) =>
      envelope.body === id && (item.kind !== "copy" || failure?.message === item.failure),
  );
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
    item.discarded = true;
    const count = await run.finished(client.transport.inspection.discard([handle, handle]));
    if (count !== 1) fail(`discarding ${item.id} twice answered ${count} instead of 1`);
    return `${client.instance} discards ${item.id} of ${item.address}`;
  });

const whereabouts: Readonly<Record<ListedState, Resumed>> = {
  ready: "waiting",
  inFlight: "waiting",
  scheduled: "waiting",
  deferred: "resumed",
  dead: "dead",
  gone: "gone",
};

/** By the handle of a delivery, deferred or not. */
const resumeDeferred: Command = async (run, [which, who]) => {
  const known = [...run.world.items()].filter(
    ({ handle, kind, lingersUntil }) => handle && kind !== "copy" && lingersUntil === 0,
  );
  const item = pick(known, which);
  if (item?.handle === undefined) return undefined;
  const client = pick(run.clients, who) as Client;
  const expected = [...statesAllowed(item, run.moment)].map((state) => whereabouts[state]);
  if (item.discarded) expected.push("discarded");
  if (item.state === "deferred") {
    comeBack(item, run.moment);
    item.attempt -= 1;
    item.notAfter = Infinity;
  }
  const answer = await run.finished(client.transport.inspection.resumeDeferred(item.handle));
  if (!expected.includes(answer))
    fail(`resuming ${item.id} answered ${answer} instead of ${expected.join(" or ")}`);
  return `${client.instance} resumes ${item.id} of ${item.address}: ${answer}`;
};

/** Pauses an address for everybody, or lets it deliver again. */
const pauseOrResumeAddress: Command = async (run, [who, what]) => {
  const client = pick(run.clients, who) as Client;
  const source = pick(pausable, what);
  if (source === undefined) return undefined;
  const address = addressOf(source);
  if (source.kind === "stream" && !run.world.log(address).groups.has(address)) return undefined;
  const { inspection } = client.transport;
  if (run.world.ways.resume(address, run.moment)) {
    if (!(await run.finished(inspection.resume(address))))
      fail(`resuming ${address} answered that it was not paused`);
    return `${client.instance} resumes ${address} for all`;
  }
  // Only from the moment it resolves is nothing delivered.
  await run.finished(inspection.pause(address, "the model says so"));
  run.world.ways.pause(address);
  return `${client.instance} pauses ${address} for all`;
};

const seek: Command = async (run, [who, what, where]) => {
  const client = pick(run.clients, who) as Client;
  const source = pick(
    sources.filter(({ kind }) => kind === "stream"),
    what,
  );
  if (source?.kind !== "stream" || !run.world.log(addressOf(source)).groups.has(addressOf(source)))
    return undefined;
  const log = run.world.log(source.name);
  const { to, place } = seekTarget(log, where);
  log.seek(addressOf(source), place, run.moment);
  await run.finished(client.transport.inspection.seek(source.name, source.group, to));
  return `${client.instance} puts ${addressOf(source)} to ${JSON.stringify(to)}`;
};

/** Where to, and what that does to an item. */
function seekTarget(log: Log, where: number): { to: SeekTarget; place: SeekPlace } {
  const [how, which] = [where % 6, Math.floor(where / 6)];
  const sent = pick(log.sent, which);
  const place = sent && log.placeOf(sent.id);
  if (how === 1) return { to: "end", place: () => "passed" };
  if (how < 4 && sent !== undefined) {
    const at = sent.sentAt + (how % 2);
    return { to: { at }, place: ({ sentAt }) => (sentAt < at ? "passed" : "again") };
  }
  if (how >= 4 && place !== undefined)
    return { to: { offsets: [place.position] }, place: place.place };
  return { to: "start", place: () => "again" };
}

export const inspectingCommands: readonly (readonly [string, number, Command])[] = [
  ["replay", 3, replay],
  ["discard", 1, discard],
  ["resumeDeferred", 3, resumeDeferred],
  ["pauseOrResumeAddress", 2, pauseOrResumeAddress],
  ["seek", 2, seek],
];
