import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, command, event, feed, query, stream } from "@waybill/contracts";
import { service } from "../service.ts";
import { tested, until } from "../testing.fixture.ts";

const Text: Schema<string> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as string }) },
};
const Run = command("jobs.run", { input: Text, key: () => "one" });
const Next = command("jobs.next", { input: Text });
const Ran = event("jobs.ran", { payload: Text });
const Get = query("jobs.get", { input: Text, output: Text });
const Watch = feed("jobs.watch", { input: Text, item: Text });
const Log = stream("jobs.log", { item: Text, key: () => "one" });

test("the verbs can be taken out of a context, a session and the bus", async () => {
  const seen: string[] = [];
  const jobs = service("jobs", {
    sends: [Next],
    publishes: [Ran],
    asks: [Get],
    opens: [Watch],
    appends: [Log],
  })
    .handle(
      Run,
      async (text, context) => {
        const { send, publish, append, ask, open, sleep, now, resumeDeferred, session } = context;
        const { read, write } = session;
        await sleep(1);
        assert.ok(now() instanceof Date);
        assert.equal(await resumeDeferred("no such handle"), "gone");
        await write(`${await read()} ${text}`);
        seen.push((await read()) ?? "", await ask(Get, text));
        for await (const item of open(Watch, text)) seen.push(item);
        await send(Next, `sent ${text}`);
        await publish(Ran, `published ${text}`);
        await append(Log, `appended ${text}`);
      },
      { state: Text },
    )
    .handle(Next, (text) => void seen.push(text))
    .on(Ran, (text) => void seen.push(text))
    .consume(Log, (text) => void seen.push(text))
    .answer(Get, (text) => `answer to ${text}`)
    .serve(Watch, async function* (text, { sleep }) {
      await sleep(1);
      yield `item of ${text}`;
    });
  const batches = service("batches", { sends: [Next] }).onBatch(
    Ran,
    async (messages, { send }) => {
      for (const { value } of messages) await send(Next, `from a batch: ${value}`);
    },
    { batch: { size: 1, maxAgeMs: 0 } },
  );
  await using it = await tested([jobs, batches]);
  const { send, publish, append, ask, open } = it.bus;
  await send(Run, "a");
  assert.equal(await ask(Get, "b"), "answer to b");
  assert.deepEqual(await Array.fromAsync(open(Watch, "b")), ["item of b"]);
  await publish(Ran, "published b");
  await append(Log, "appended b");
  const expected = [
    "undefined a",
    "answer to a",
    "item of a",
    "sent a",
    "published a",
    "published b",
    "appended a",
    "appended b",
    "from a batch: published a",
    "from a batch: published b",
  ];
  await until("all of it", () => seen.length >= expected.length);
  assert.deepEqual(seen.toSorted(), expected.toSorted());
});
