import assert from "node:assert/strict";
import { test } from "node:test";
import type { Settlement } from "@waybill/core";
import { type FakeEnvironment, fakeEnvironment } from "@waybill/testkit";
import type { Link } from "./link.ts";
import { Unheard } from "./unheard.ts";

const place = { stream: "orders", consumer: "receivers" };
const release: Settlement = { kind: "release" };
const silent = Promise.resolve();

interface Played {
  readonly unheard: Unheard;
  readonly environment: FakeEnvironment;
  /** What was asked of the server. */
  readonly asked: string[];
  /** What was given back, and after which of the environment's milliseconds. */
  readonly given: string[];
  readonly give: (name: string, settlement?: Settlement) => Promise<void>;
}

/** A server on which so many requests wait, after it was asked for the first time. */
function play(waiting: number | undefined, cluster?: string): Played {
  const environment = fakeEnvironment();
  const startedAt = environment.clock.monotonic();
  const asked: string[] = [];
  const given: string[] = [];
  const answer = { string: () => JSON.stringify({ num_waiting: waiting }) };
  const ask = (subject: string): Promise<unknown> => {
    asked.push(subject);
    return waiting === undefined ? Promise.reject(new Error("no answer")) : Promise.resolve(answer);
  };
  const link = { requests: { ask }, connection: { info: { cluster } } } as unknown as Link;
  const unheard = new Unheard({ link, place, environment });
  const give = async (name: string, settlement = release): Promise<void> => {
    const heard = await unheard.over(settlement);
    const delayMs = "delayMs" in heard ? (heard.delayMs ?? 0) : 0;
    given.push(`${name} at ${environment.clock.monotonic() - startedAt} for ${delayMs}`);
  };
  return { unheard, environment, asked, given, give };
}

test("where the server holds no request any more, what is given back goes at once", async () => {
  const { unheard, environment, asked, given, give } = play(0);
  void unheard.note(environment.clock.monotonic() + 2_000, silent);
  void give("one");
  void give("two");
  await environment.drain();
  assert.deepEqual(given, ["one at 0 for 0", "two at 0 for 0"]);
  assert.deepEqual(asked, ["$JS.API.CONSUMER.INFO.orders.receivers"]);
  assert.equal(unheard.leftMs, 0);
});

for (const [why, waiting, cluster] of [
  ["others may have asked", 1, undefined],
  ["the server does not answer", undefined, undefined],
  ["the consumer may be on another server", 0, "cluster"],
] as const)
  test(`where ${why}, what is given back waits for the end of what was asked, in its order`, async () => {
    const { unheard, environment, asked, given, give } = play(waiting, cluster);
    void unheard.note(environment.clock.monotonic() + 2_000, silent);
    void give("one");
    await environment.advance(0.5);
    void give("two");
    void give("later", { kind: "release", delayMs: 500 });
    void give("much later", { kind: "release", delayMs: 5_000 });
    await environment.advance(2_098.5);
    assert.deepEqual(given, ["later at 0.5 for 2099.5", "much later at 0.5 for 5000"]);
    await environment.advance(1);
    assert.deepEqual(given.slice(2), ["one at 2100 for 0", "two at 2100 for 0"]);
    // So that it heeds by its own clock what has ended by ours.
    assert.equal(asked.length, 2);
  });

test("who leaves lets the server wait, and what was asked for since counts", async () => {
  const { unheard, environment, given, give } = play(1);
  void unheard.note(environment.clock.monotonic() + 1_000, silent);
  void give("one");
  await environment.advance(1_000);
  void unheard.note(environment.clock.monotonic() + 2_000, silent);
  await environment.advance(500);
  assert.deepEqual(given, []);
  unheard.leave();
  void give("two");
  await environment.drain();
  assert.deepEqual(given, ["one at 1500 for 1600", "two at 1500 for 1600"]);
});
