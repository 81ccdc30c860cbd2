import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { type TestContext, test } from "node:test";
import { type Bus, connect, service } from "@waybill/core";
import { Count, startFeedServer } from "./feed-server.test.support.ts";
import { folder, silent, until } from "../fixture.test.support.ts";
import { embedded } from "../index.ts";
import { heard } from "../worker.test.support.ts";

const skip = process.platform === "win32" ? "there is no SIGSTOP" : false;
/** More than anybody reads: a feed must not end while a slow machine still starts a process. */
const count = 100_000;
/** What is read after the other process has taken over. */
const more = 100;
/** Noticed within 6 seconds and opened again at once; the rest is for a busy machine. */
const takenOverMs = 15_000;

interface Reading {
  readonly bus: Bus;
  readonly items: number[];
  /** Reads so many more, leaves the feed, and answers how many came. */
  readonly leave: (more: number) => Promise<number>;
}

/** A caller here, and servers that are processes of their own. */
async function read(context: TestContext, directory: string): Promise<Reading> {
  const bus = await connect({
    transport: embedded({ directory }),
    services: [service("reader", { opens: [Count] })],
    logger: silent,
  });
  context.after(() => bus.close());
  const items: number[] = [];
  let last = count;
  const end = (async () => {
    for await (const item of bus.open(Count, count)) if (items.push(item) >= last) break;
  })();
  const leave = async (left: number): Promise<number> => {
    last = items.length + left;
    await end;
    return last;
  };
  return { bus, items, leave };
}

async function started(context: TestContext, directory: string): Promise<ChildProcess> {
  const server = startFeedServer(directory);
  context.after(() => server.kill("SIGKILL"));
  assert.equal(await heard(server), "ready");
  return server;
}

function all(length: number): readonly number[] {
  return Array.from({ length }, (_, index) => index);
}

test("a feed whose server is killed goes on at another process: in order, none lost, none twice", async (context) => {
  const directory = folder(context);
  const killed = await started(context, directory);
  const { bus, items, leave } = await read(context, directory);
  await until("some items", () => items.length > 20);
  const heir = await started(context, directory);
  const begun = heard(heir);
  const killedAt = performance.now();
  killed.kill("SIGKILL");
  assert.match(String(await begun), /^begins after [1-9]/);
  const takenMs = Math.round(performance.now() - killedAt);
  context.diagnostic(`taken over after ${takenMs} ms`);
  assert.ok(takenMs < takenOverMs, `${takenMs} ms`);
  assert.deepEqual(items, all(await leave(more)));
  assert.equal((await bus.health()).contracts[Count.name]?.resumed, 1);
});

test(
  "a feed whose server is suspended goes on at another process; what the first one sends when it wakes is refused",
  { skip },
  async (context) => {
    const directory = folder(context);
    const suspended = await started(context, directory);
    const { bus, items, leave } = await read(context, directory);
    await until("some items", () => items.length > 20);
    const heir = await started(context, directory);
    const begun = heard(heir);
    suspended.send("suspend");
    assert.match(String(await begun), /^begins after [1-9]/);
    suspended.kill("SIGCONT");
    await until("its late items are counted", async () => (await bus.health()).replies.late > 0);
    assert.deepEqual(items, all(await leave(more)));
    assert.equal((await bus.health()).contracts[Count.name]?.resumed, 1);
  },
);
