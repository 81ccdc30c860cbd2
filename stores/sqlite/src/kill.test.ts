import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { dirname } from "node:path";
import { test } from "node:test";
import { embedded } from "@waybill/broker";
import { connect, service } from "@waybill/core";
import { Count, Counted, Done, Work, moments } from "./kill.fixture.ts";
import { subject } from "./subject.fixture.ts";

/** Processes that kill themselves at each moment, one after another; more with WAYBILL_KILLS. */
const kills = Number(process.env["WAYBILL_KILLS"] ?? 6);
const waitMs = 40_000;

test(`processes that kill themselves around the commit, ${kills} times: each effect and each move of a saga once, each message sent, under one id`, async () => {
  const made = subject();
  const directory = dirname(made.file);
  const arrived = new Map<string, Set<string>>();
  let copies = 0;
  const counted = new Map<string, Set<string>>();
  const client = service("client", { sends: [Work, Count] })
    .on(Done, (name, { header }) => {
      arrived.set(name, (arrived.get(name) ?? new Set()).add(header.id));
      copies += 1;
    })
    .on(Counted, (name, { header }) => {
      counted.set(name, (counted.get(name) ?? new Set()).add(header.id));
    });
  const bus = await connect({ transport: embedded({ directory }), services: [client] });
  const names: string[] = [];
  const counts: string[] = [];
  try {
    for (let kill = 0; kill < kills; kill++) {
      const worker = start(directory, moments[kill % moments.length] ?? "");
      const ended = once(worker, "exit");
      for (let index = 0; index < 5; index++) {
        names.push(`k-${100 + kill}-${index}`);
        await bus.send(Work, names.at(-1) ?? "");
        if (index < 2) {
          counts.push(names.at(-1) ?? "");
          await bus.send(Count, names.at(-1) ?? "");
        }
      }
      assert.deepEqual(await ended, [null, "SIGKILL"]);
      // As if that were half a minute ago: the next process takes over at once.
      await made.expire();
    }
    const last = start(directory, "never");
    const ended = once(last, "exit");
    const until = performance.now() + waitMs;
    const isDone = (): boolean =>
      arrived.size === names.length &&
      counted.size === counts.length &&
      made.db.prepare("select 1 from waybill_outbox").get() === undefined;
    while (!isDone() && performance.now() < until)
      await new Promise((resolve) => void setTimeout(resolve, 20));
    assert.deepEqual(
      (await bus.deadLetters.list()).map(({ failure }) => failure),
      [],
    );
    last.send("close");
    await ended;
    assert.deepEqual(await made.written(), names);
    assert.deepEqual([...arrived.keys()].toSorted(), names);
    assert.ok([...arrived.values()].every(({ size }) => size === 1));
    const kept = made.db.prepare("select version, body from waybill_saga").get();
    const { state } = JSON.parse(String(kept?.["body"])) as { state: string[] };
    assert.deepEqual(state.toSorted(), counts);
    assert.equal(kept?.["version"], counts.length);
    assert.ok([...counted.values()].every(({ size }) => size === 1));
    assert.ok(copies > names.length, "what was sent and not marked is sent again");
  } finally {
    await bus.close();
    await made.close();
  }
});

function start(directory: string, moment: string): ChildProcess {
  const script = new URL("kill.fixture.ts", import.meta.url).pathname;
  return fork(script, [directory, moment], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
}
