import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, service } from "@waybill/core";
import { Compute, Computed, type Word, lockMs, startBlocked } from "./blocked.test.support.ts";
import { folder, silent, until } from "../fixture.test.support.ts";
import { embedded } from "../index.ts";

test("a handler that holds the event loop for longer than its lock loses its message, is told so, and cannot settle it", async (context) => {
  const directory = folder(context);
  const transport = embedded({ directory });
  const by: string[] = [];
  const listener = service("listener").on(Computed, (computed) => void by.push(computed.by));
  await using script = await connect({
    transport,
    services: [service("script", { sends: [Compute] }), listener],
    logger: silent,
  });
  const worker = startBlocked(directory);
  context.after(() => worker.kill("SIGKILL"));
  const words: Word[] = [];
  worker.on("message", (word: Word) => words.push(word));
  const heard = async <Kind extends Word["kind"]>(
    kind: Kind,
  ): Promise<Extract<Word, { kind: Kind }>> => {
    await until(kind, () => words.some((word) => word.kind === kind), 30_000);
    return words.find((word) => word.kind === kind) as Extract<Word, { kind: Kind }>;
  };
  await until(
    "the worker listens",
    async () =>
      (await script.health()).addresses.some(
        ({ address, receivers = 0 }) => address === Compute.name && receivers > 0,
      ),
    30_000,
  );
  await script.send(Compute, { id: "1" });
  await heard("begun");

  const attempts: number[] = [];
  const second = service("jobs", { publishes: [Computed] }).handle(
    Compute,
    async (_job, handling) => {
      attempts.push(handling.attempt);
      await handling.publish(Computed, { by: "second" });
    },
    { lockMs },
  );
  await using taker = await connect({ transport, services: [second], logger: silent });
  await until("the other process has it", () => attempts.length > 0, 30_000);
  assert.deepEqual(
    words.map(({ kind }) => kind),
    ["begun"],
    "while the first one is still blocked",
  );

  const ended = await heard("ended");
  assert.equal(ended.reason, "LOCK_LOST");
  assert.ok(ended.abortedAfterMs < 500, `aborted ${ended.abortedAfterMs} ms after the loop turned`);
  const { health, warnings } = await heard("settled");
  assert.equal(health.contracts[Compute.name]?.lockLost, 1);
  assert.equal(health.contracts[Compute.name]?.handled, 0);
  assert.ok((health.eventLoop?.maxMs ?? 0) > 3_000, `${health.eventLoop?.maxMs}`);
  assert.match(health.reasons.join(), /the event loop stood still for \d+ ms/);
  assert.match(warnings.join(), /The event loop stood still for \d+ ms: .*worker thread/);
  await until("the event of the second", () => by.length > 0);
  assert.deepEqual([attempts, by], [[2], ["second"]]);
  assert.equal((await taker.health()).contracts[Compute.name]?.handled, 1);
});
