import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { dirname } from "node:path";
import { test } from "node:test";
import { everyMs } from "./schedule-kill.fixture.ts";
import { subject } from "./subject.fixture.ts";

/** Of two processes one is killed, at any moment, and another takes its place; more with WAYBILL_KILLS. */
const kills = Number(process.env["WAYBILL_KILLS"] ?? 6);
const waitMs = 60_000;

test(`processes that share a schedule and are killed, ${kills} times: each due time is written down once, and none is missing`, async () => {
  const made = subject();
  const directory = dirname(made.file);
  const living: ChildProcess[] = [];
  try {
    living.push(await start(directory), await start(directory));
    for (let kill = 0; kill < kills; kill++) {
      // About a moment, at which both of them are at work.
      await sleep(everyMs - (Date.now() % everyMs) + kill * 7);
      const victim = living.shift() as ChildProcess;
      const ended = once(victim, "exit");
      victim.kill("SIGKILL");
      await ended;
      // As if that were half a minute ago: what it has left is taken over at once.
      await made.expire();
      living.push(await start(directory));
    }
    const count = (await made.written()).length;
    const until = performance.now() + waitMs;
    while ((await made.written()).length < count + 3 && performance.now() < until) await sleep(50);
    for (const each of living) {
      const ended = once(each, "exit");
      each.send("close");
      await ended;
    }
    const dues = (await made.written()).map((text) => Date.parse(text));
    const [first = 0] = dues;
    assert.ok(dues.length >= kills + 3, `only ${dues.length} were written down`);
    assert.deepEqual(
      dues,
      dues.map((_, index) => first + index * everyMs),
    );
  } finally {
    for (const each of living) each.kill("SIGKILL");
    await made.close();
  }
});

async function start(directory: string): Promise<ChildProcess> {
  const script = new URL("schedule-kill.fixture.ts", import.meta.url).pathname;
  const child = fork(script, [directory], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  await once(child, "message");
  return child;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms));
}
