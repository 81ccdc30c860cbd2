import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { command, event, feed, query } from "@waybill/contracts";
import * as z from "zod";
import type { WaybillError } from "./errors.ts";
import { memory } from "./memory/index.ts";
import { service } from "./service.ts";
import { terminated } from "./termination.ts";
import {
  envelopeOf,
  foreigner,
  gate,
  manualEnvironment,
  tested,
  turns,
  until,
  watched,
} from "./testing.fixture.ts";

const Job = z.object({ id: z.string() });
const Run = command("jobs.run", { input: Job });
const Ran = event("jobs.ran", { payload: Job });
const Get = query("jobs.get", { input: Job, output: Job });
const Watch = feed("jobs.watch", { input: Job, item: z.number() });

// close()

test("close() ends intake, drains, lets held messages leave and closes the transport, in this order", async () => {
  const order: string[] = [];
  const transport = watched(memory(), (inner) => ({
    receive: (source, options, listener) => {
      const receiver = inner.receive(source, options, listener);
      return {
        pause: () => receiver.pause(),
        resume: () => receiver.resume(),
        stop: () => (order.push("intake ends"), receiver.stop()),
      };
    },
    [Symbol.asyncDispose]: () => (order.push("transport closes"), inner[Symbol.asyncDispose]()),
  }));
  const go = gate();
  const started = gate();
  const jobs = service("jobs", { publishes: [Ran], asks: [Get] }).handle(
    Run,
    async (value, context) => {
      started.open();
      await go.passed;
      await context.ask(Get, value); // the local owner still answers
      await context.publish(Ran, value);
      order.push("handler ends");
    },
  );
  const it = await tested(
    [jobs.answer(Get, (value) => value), service("other", { publishes: [Ran] })],
    { transport },
  );
  await it.bus.send(Run, { id: "1" });
  await started.passed;
  const closing = it.bus.close();
  await turns();
  go.open();
  await closing;
  assert.deepEqual([...new Set(order)], ["intake ends", "handler ends", "transport closes"]);
  assert.deepEqual(await it.counted("jobs.run").then(({ handled }) => handled), 1);
});

test("what has not begun comes to the other instance, its attempt not counted and in its order", async () => {
  const broker = memory();
  const go = gate();
  const first: string[] = [];
  const second: string[] = [];
  const one = await tested(
    [
      service("jobs").handle(Run, async ({ id }) => (first.push(id), go.passed), {
        concurrency: 1,
      }),
    ],
    { transport: broker },
  );
  for (const id of ["1", "2", "3", "4"]) await one.bus.send(Run, { id });
  await until("the first runs and the others are fetched", async () => {
    const state = (await one.bus.health()).addresses.find(({ address }) => address === "jobs.run");
    return first.length === 1 && state?.inFlight === 4;
  });
  const closing = one.bus.close();
  await using two = await tested(
    [
      service("jobs").handle(
        Run,
        ({ id }, { attempt }) => void second.push(`${id} attempt ${attempt}`),
        { concurrency: 1 },
      ),
    ],
    { transport: broker },
  );
  await until("the others", () => second.length === 3);
  go.open();
  await closing;
  assert.deepEqual([first, second], [["1"], ["2 attempt 1", "3 attempt 1", "4 attempt 1"]]);
  assert.equal((await one.counted("jobs.run"))["released"], 3);
  assert.equal((await two.counted("jobs.run"))["handled"], 3);
});

test("what waits in place for its retry is given back, and nobody overtakes it elsewhere", async () => {
  const broker = memory();
  const seen: string[] = [];
  const failing = service("jobs").handle(
    Run,
    () => {
      seen.push("failed");
      throw new Error("not here");
    },
    { orderedBy: () => "one", retry: { immediate: 0, delayMs: 60_000 } },
  );
  const one = await tested([failing], { transport: broker });
  for (const id of ["1", "2", "3"]) await one.bus.send(Run, { id });
  await until("it waits", () => seen.length === 1);
  await turns();
  await one.bus.close();
  await using _ = await tested(
    [service("jobs").handle(Run, ({ id }) => void seen.push(id), { orderedBy: () => "one" })],
    { transport: broker },
  );
  await until("all", () => seen.length === 4);
  assert.deepEqual(seen, ["failed", "1", "2", "3"]);
});

test("a handler past the deadline: SHUTDOWN_INCOMPLETE, its signal aborted, its message comes again and is no dead letter", async () => {
  const broker = memory();
  const environment = manualEnvironment();
  const reasons: unknown[] = [];
  const jobs = service("jobs").handle(Run, async (_value, context) => {
    try {
      await context.sleep(600_000);
    } catch (error) {
      reasons.push((error as WaybillError).code);
      throw error;
    }
  });
  const one = await tested([jobs], { transport: broker, environment });
  await one.bus.send(Run, { id: "1" });
  await turns();
  const closing = assert.rejects(one.bus.close({ deadlineMs: 1_000 }), (error: WaybillError) => {
    assert.equal(error.code, "SHUTDOWN_INCOMPLETE");
    assert.match(error.message, /1 handlers were still running after 1000 ms.*: jobs\.run\./);
    assert.deepEqual(error.details, { unfinished: 1, running: ["jobs.run"] });
    return true;
  });
  await environment.advance(1_000);
  await closing;
  assert.deepEqual(reasons, ["CLOSED"]);
  const seen: string[] = [];
  await using two = await tested([service("jobs").handle(Run, ({ id }) => void seen.push(id))], {
    transport: broker,
    environment,
  });
  await environment.advance(60_000);
  assert.deepEqual(seen, ["1"]);
  assert.deepEqual(await two.bus.deadLetters.list(), []);
});

test("a handler that never ends and heeds nothing does not hold the close, and its late end harms nobody", async () => {
  const broker = memory();
  const never = gate();
  const jobs = service("jobs", { publishes: [Ran] }).handle(Run, async (value, context) => {
    await never.passed;
    await context.publish(Ran, value);
  });
  const one = await tested([jobs, service("log").on(Ran, () => assert.fail("it left"))], {
    transport: broker,
  });
  await one.bus.send(Run, { id: "1" });
  await until("it runs", async () => (await one.bus.health()).running["jobs.run"] === 1);
  await assert.rejects(one.bus.close({ deadlineMs: 20 }), { code: "SHUTDOWN_INCOMPLETE" });
  const attempts: number[] = [];
  await using _ = await tested(
    [service("jobs").handle(Run, (_value, { attempt }) => void attempts.push(attempt))],
    { transport: broker },
  );
  await until("it came again", () => attempts.length === 1);
  assert.deepEqual(attempts, [2]);
  never.open();
  await turns();
});

for (const localCalls of [true, false]) {
  const way = localCalls ? "in the process" : "over the transport";

  test(`a call that is being answered is answered before the bus closes ${way}`, async () => {
    const broker = memory();
    const go = gate();
    const started = gate();
    const jobs = service("jobs").answer(Get, async (value) => {
      started.open();
      await go.passed;
      return value;
    });
    const server = await tested([jobs, service("asker", { asks: [Get] })], { transport: broker });
    const client = localCalls
      ? server
      : await tested([service("asker", { asks: [Get] })], { transport: broker });
    const asked = client.bus.ask(Get, { id: "1" });
    await started.passed;
    const closing = server.bus.close();
    await turns();
    go.open();
    assert.deepEqual(await asked, { id: "1" });
    await closing;
    await client.bus.close();
  });

  test(`an answering handler past the deadline is counted and its signal aborted ${way}`, async () => {
    const broker = memory();
    const reasons: unknown[] = [];
    const started = gate();
    const jobs = service("jobs").answer(Get, async (value, { signal }) => {
      signal.addEventListener("abort", () => reasons.push((signal.reason as WaybillError).code));
      started.open();
      await new Promise(() => undefined);
      return value;
    });
    const server = await tested([jobs, service("asker", { asks: [Get] })], { transport: broker });
    const client = localCalls
      ? server
      : await tested([service("asker", { asks: [Get] })], { transport: broker });
    client.bus.ask(Get, { id: "1" }).catch(() => undefined);
    await started.passed;
    await assert.rejects(server.bus.close({ deadlineMs: 20 }), { code: "SHUTDOWN_INCOMPLETE" });
    assert.deepEqual(reasons, ["CLOSED"]);
    if (client !== server) await client.bus.close();
  });
}

test("a feed's generator may finish its finally before the transport closes, and one that does not is counted", async () => {
  for (const [name, patience, outcome] of [
    ["ends", 1_000, "closed"],
    ["hangs", 20, "SHUTDOWN_INCOMPLETE"],
  ] as const) {
    const broker = memory();
    const order: string[] = [];
    const transport = watched(broker, (inner) => ({
      [Symbol.asyncDispose]: () => (order.push("transport closes"), inner[Symbol.asyncDispose]()),
    }));
    const jobs = service("jobs").serve(Watch, async function* (_input, context) {
      try {
        yield 1;
        await context.sleep(60_000);
      } finally {
        await turns(3);
        if (name === "hangs") await new Promise(() => undefined);
        order.push("finally");
      }
    });
    const server = await tested([jobs], { transport });
    const client = await tested([service("watcher", { opens: [Watch] })], { transport: broker });
    const items = client.bus.open(Watch, { id: "1" })[Symbol.asyncIterator]();
    await items.next();
    const next = assert.rejects(items.next(), { code: "FEED_FAILED" });
    assert.deepEqual((await server.bus.health()).running, { "jobs.watch": 1 });
    const closed = await server.bus.close({ deadlineMs: patience }).then(
      () => "closed",
      (error: WaybillError) => error.code,
    );
    await next;
    assert.equal(closed, outcome);
    assert.deepEqual(
      order,
      name === "ends" ? ["finally", "transport closes"] : ["transport closes"],
    );
    await client.bus.close();
  }
});

test("calls that wait, and feeds that are open, end with CLOSED", async () => {
  const it = await tested([
    service("asker", { asks: [Get], opens: [Watch] }),
    service("jobs").serve(Watch, async function* (_input, context) {
      yield 1;
      await context.sleep(60_000);
    }),
  ]);
  const asked = assert.rejects(it.bus.ask(Get, { id: "1" }), {
    code: "CLOSED",
    message: /closed while the call was waiting/,
  });
  const items = it.bus.open(Watch, { id: "1" })[Symbol.asyncIterator]();
  await items.next();
  const read = assert.rejects(items.next(), { code: "CLOSED" });
  await turns();
  await it.bus.close();
  await Promise.all([asked, read]);
});

test("a bus closes once, however often it is asked", async () => {
  const transport = watched(memory());
  const it = await tested([service("jobs").handle(Run, () => undefined)], { transport });
  await Promise.all([it.bus.close(), it.bus.close()]);
  await it.bus.close();
  assert.equal(transport.disposed, 1);
});

test("await using closes, and does not throw a second time what close() has thrown", async () => {
  const transport = watched(memory());
  await (async () => {
    await using _ = (await tested([service("jobs").handle(Run, () => undefined)], { transport }))
      .bus;
  })();
  assert.equal(transport.disposed, 1);
  await assert.rejects(
    (async () => {
      await using bus = (
        await tested([service("jobs").handle(Run, () => new Promise(() => undefined))])
      ).bus;
      await bus.send(Run, { id: "1" });
      await until("it runs", async () => (await bus.health()).running["jobs.run"] === 1);
      await bus.close({ deadlineMs: 5 });
    })(),
    { code: "SHUTDOWN_INCOMPLETE" },
  );
});

test("everything that speaks after close() is refused with CLOSED", async () => {
  const it = await tested([
    service("jobs", { publishes: [Ran], asks: [Get], opens: [Watch] }).handle(Run, () => undefined),
  ]);
  await it.bus.close();
  await assert.rejects(it.bus.send(Run, { id: "1" }), { code: "CLOSED" });
  await assert.rejects(it.bus.publish(Ran, { id: "1" }), { code: "CLOSED" });
  await assert.rejects(it.bus.ask(Get, { id: "1" }), { code: "CLOSED" });
  await assert.rejects(Array.fromAsync(it.bus.open(Watch, { id: "1" })), { code: "CLOSED" });
});

test("a handler that uses the bus while it closes is retried elsewhere, not set aside", async () => {
  const broker = memory();
  const go = gate();
  const started = gate();
  const outside: { publish?: (value: { id: string }) => Promise<unknown> } = {};
  const jobs = service("jobs", { publishes: [Ran] }).handle(Run, async (value) => {
    started.open();
    await go.passed;
    await outside.publish?.(value);
  });
  const { bus } = await tested([jobs], { transport: broker });
  outside.publish = (value) => bus.publish(Ran, value);
  await bus.send(Run, { id: "1" });
  await started.passed;
  const closing = bus.close();
  go.open();
  await closing;
  const wire = await foreigner(broker);
  const { scheduled, dead } = (await wire.inspection.addresses()).find(
    ({ address }) => address === "jobs.run",
  )!;
  assert.deepEqual({ scheduled, dead }, { scheduled: 1, dead: 0 });
  await wire[Symbol.asyncDispose]();
});

test("a transport that hangs or fails while closing does not hold the bus for ever", async () => {
  for (const [dispose, pattern] of [
    [() => new Promise<void>(() => undefined), /did not close within 10000 ms/],
    [() => Promise.reject(new Error("broken pipe")), /did not close well: broken pipe/],
  ] as const) {
    const environment = manualEnvironment();
    const transport = watched(memory(), () => ({ [Symbol.asyncDispose]: dispose }));
    const it = await tested([service("jobs", { sends: [Run] })], { transport, environment });
    const closing = it.bus.close();
    await environment.advance(10_000);
    await closing;
    assert.ok(it.logger.has("error", pattern));
  }
});

test("a receiver that cannot be stopped does not hold the others", async () => {
  const transport = watched(memory(), (inner) => ({
    receive: (...parameters) => ({
      ...inner.receive(...parameters),
      stop: () => Promise.reject(new Error("gone")),
      pause: () => undefined,
      resume: () => undefined,
    }),
  }));
  const it = await tested([service("jobs").handle(Run, () => undefined)], { transport });
  await it.bus.close();
  assert.equal(transport.disposed, 1);
  assert.ok(it.logger.has("error", /could not be stopped: gone/));
});

test("a bus that was closed leaves no timer", async () => {
  const environment = manualEnvironment();
  const broker = memory();
  const it = await tested(
    [
      service("jobs", { publishes: [Ran], asks: [Get] })
        .handle(Run, async (value, context) => void (await context.ask(Get, value)))
        .answer(Get, (value) => value),
    ],
    {
      environment,
      localCalls: false,
      transport: broker,
    },
  );
  await it.bus.send(Run, { id: "1" });
  await environment.advance(0);
  assert.equal((await it.counted("jobs.run"))["handled"], 1);
  await it.bus.close();
  await environment.advance(60_000);
  assert.equal(environment.timersSet, 0);
});

// health()

test("health() tells a healthy bus from one with dead letters, waiting messages, books that do not balance or no broker", async () => {
  const broken = { now: false };
  const lost = { now: 0 };
  const transport = watched(memory(), (inner) => ({
    inspection: {
      ...inner.inspection,
      list: (listed) => inner.inspection.list(listed),
      addresses: () =>
        broken.now ? Promise.reject(new Error("no connection")) : inner.inspection.addresses(),
      replay: (handles) => inner.inspection.replay(handles),
      discard: (handles) => inner.inspection.discard(handles),
      ledger: async () =>
        (await inner.inspection.ledger()).map((entry) =>
          entry.address === "jobs.run"
            ? { ...entry, difference: lost.now, balanced: lost.now === 0 }
            : entry,
        ),
    },
  }));
  const Other = command("jobs.other", { input: Job });
  await using it = await tested(
    [service("jobs", { sends: [Other] }).handle(Run, () => Promise.reject(new TypeError("bug")))],
    { transport },
  );
  const healthy = await it.bus.health();
  assert.deepEqual(
    [healthy.status, healthy.reasons, healthy.transport],
    ["up", [], { name: "memory", durability: "memory" }],
  );
  await it.bus.send(Other, { id: "1" });
  await it.bus.send(Run, { id: "1" });
  await until("it is dead", async () => (await it.counted("jobs.run"))["deadLettered"] === 1);
  const degraded = await it.bus.health();
  assert.equal(degraded.status, "degraded");
  assert.deepEqual([...degraded.reasons].toSorted(), [
    "jobs.other: 1 messages wait and nobody receives",
    "jobs.run: 1 dead letters",
  ]);
  lost.now = 2;
  const failed = await it.bus.health();
  assert.deepEqual(
    [failed.status, failed.reasons[0]],
    ["failed", "jobs.run: 2 messages were accepted and are neither handled nor there"],
  );
  broken.now = true;
  const down = await it.bus.health();
  assert.deepEqual(
    [down.status, down.reasons],
    ["down", ["memory does not answer: no connection"]],
  );
});

test("an event that nobody subscribes to is counted, logged and kept where it can be replayed", async () => {
  const broker = memory();
  await using it = await tested([service("jobs", { publishes: [Ran] })], { transport: broker });
  await it.bus.publish(Ran, { id: "1" });
  assert.equal((await it.counted("jobs.ran"))["unrouted"], 1);
  assert.ok(it.logger.has("warn", /"jobs.ran" was published and no service subscribes/));
  const seen: string[] = [];
  await using _ = await tested([service("log").on(Ran, ({ id }) => void seen.push(id))], {
    transport: broker,
  });
  const [letter] = await it.bus.deadLetters.list({ address: "jobs.ran/" });
  assert.equal(letter?.failure?.reason, "SUBSCRIBER_MISSING");
  await it.bus.deadLetters.replay([letter.handle]);
  await until("replayed", () => seen.length === 1);
});

test("accepted = handled + dead + waiting, whatever happens to the messages", async () => {
  await using it = await tested([
    service("jobs").handle(
      Run,
      ({ id }) => (Number(id) % 3 === 0 ? Promise.reject(new TypeError("bug")) : undefined),
      { concurrency: 4 },
    ),
  ]);
  for (let id = 0; id < 60; id++) await it.bus.send(Run, { id: String(id) });
  await until("rest", async () => {
    const { handled = 0, deadLettered = 0 } = await it.counted("jobs.run");
    return handled + deadLettered === 60;
  });
  const { sent, handled, deadLettered } = await it.counted("jobs.run");
  assert.deepEqual({ sent, handled, deadLettered }, { sent: 60, handled: 40, deadLettered: 20 });
  const letters = await Array.fromAsync(it.bus.deadLetters.all());
  assert.equal(letters.length, 20);
  assert.equal(await it.bus.deadLetters.discard(letters.map(({ handle }) => handle)), 20);
  assert.equal((await it.bus.health()).status, "up");
});

for (const limit of [0, 1_001, 1.5]) {
  test(`a list of ${limit} dead letters is refused`, async () => {
    await using it = await tested([service("jobs")]);
    await assert.rejects(it.bus.deadLetters.list({ limit }), { code: "OPTION_INVALID" });
  });
}

// pause() and resume()

test("pause() holds the intake of one address, resume() lets it go on, and an unknown address names those there are", async () => {
  const seen: string[] = [];
  await using it = await tested([
    service("jobs")
      .handle(Run, ({ id }) => void seen.push(id))
      .on(Ran, ({ id }) => void seen.push(`ran ${id}`)),
  ]);
  it.bus.pauseHere("jobs.run");
  await it.bus.send(Run, { id: "1" });
  await it.bus.publish(Ran, { id: "2" });
  await until("the other address goes on", () => seen.length === 1);
  await turns();
  assert.deepEqual(seen, ["ran 2"]);
  it.bus.resumeHere("jobs.run");
  await until("resumed", () => seen.length === 2);
  assert.throws(() => it.bus.pauseHere("jobs.walk"), {
    code: "NOT_FOUND",
    message: /it receives from: jobs.run, jobs.ran\/jobs/,
  });
});

test("what no connected service declares is refused with the way to declare it", async () => {
  await using it = await tested([service("jobs")]);
  await assert.rejects((it.bus as any).send(Run, { id: "1" }), {
    code: "CONTRACT_NOT_DECLARED",
    message: /a script that only sends declares a service without handlers/,
  });
});

test("a delay and a moment hold a message, a life that is over ends it, and nonsense is refused", async () => {
  const environment = manualEnvironment();
  const seen: string[] = [];
  await using it = await tested([service("jobs").handle(Run, ({ id }) => void seen.push(id))], {
    environment,
  });
  await it.bus.send(Run, { id: "delayed" }, { delayMs: 1_000 });
  await it.bus.send(Run, { id: "at" }, { at: new Date(environment.clock.now() + 2_000) });
  it.bus.pauseHere("jobs.run");
  await it.bus.send(Run, { id: "short-lived" }, { ttlMs: 500 });
  await environment.advance(600);
  it.bus.resumeHere("jobs.run");
  await environment.advance(0);
  assert.deepEqual(seen, []);
  await environment.advance(500);
  assert.deepEqual(seen, ["delayed"]);
  await environment.advance(1_000);
  assert.deepEqual(seen, ["delayed", "at"]);
  const [letter] = await it.bus.deadLetters.list();
  assert.equal(letter?.failure?.reason, "EXPIRED");
  for (const options of [
    { delayMs: Number.NaN },
    { at: new Date(Number.NaN) },
    { delayMs: 1e15 },
    { ttlMs: -1 },
    { ttlMs: Number.NaN },
  ]) {
    await assert.rejects(it.bus.send(Run, { id: "1" }, options), { code: "OPTION_INVALID" });
  }
});

test("a message of a foreign system is found when its type is unknown", async () => {
  const broker = memory();
  await using it = await tested([service("jobs").handle(Run, () => undefined)], {
    transport: broker,
  });
  await using wire = await foreigner(broker);
  await wire.send([
    { to: { kind: "queue", name: "jobs.run" }, envelope: envelopeOf("com.example.other", "{}") },
  ]);
  await until("set aside", async () => (await it.bus.deadLetters.list()).length === 1);
  assert.equal((await it.bus.health()).status, "degraded");
});

test("terminated() ends quietly when its signal is aborted, before or later, and leaves no listener behind", async () => {
  const before = process.listenerCount("SIGTERM");
  assert.equal(await terminated(AbortSignal.abort(new Error("no"))), "aborted");
  const controller = new AbortController();
  const ended = terminated(controller.signal);
  controller.abort(new Error("later"));
  assert.equal(await ended, "aborted");
  assert.equal(process.listenerCount("SIGTERM"), before);
});

// The life of the process. Real ones, because only they can end too early.

interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly output: string;
}

/** Runs a script; `onOutput` sees its output as it grows and may kill it. */
function script(
  body: string,
  onOutput: (output: string, kill: (signal: NodeJS.Signals) => void) => void = () => undefined,
): Promise<Ended> {
  const source = `
    import * as z from ${JSON.stringify(import.meta.resolve("zod"))};
    import { command, feed, query } from ${JSON.stringify(import.meta.resolve("@waybill/contracts"))};
    import { connect, memory, service, terminated } from ${JSON.stringify(new URL("index.ts", import.meta.url).href)};
    const Run = command("jobs.run", { input: z.string() });
    const Get = query("jobs.get", { input: z.string(), output: z.string() });
    const Watch = feed("jobs.watch", { input: z.string(), item: z.string() });
    ${body}`;
  const child = spawn(
    process.execPath,
    ["--conditions=@waybill/source", "--input-type=module", "-e", source],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let output = "";
  const hear = (chunk: Buffer): void => {
    output += String(chunk);
    onOutput(output, (signal) => child.kill(signal));
  };
  child.stdout.on("data", hear);
  child.stderr.on("data", hear);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, output }));
  });
}

test("a script whose only work is a call ends with DEADLINE_EXCEEDED and not before", async () => {
  const { code, output } = await script(`
    await using bus = await connect({ transport: memory(), services: [service("asker", { asks: [Get] })] });
    const code = await bus.ask(Get, "1", { timeoutMs: 100 }).catch((error) => error.code);
    console.log(code);
  `);
  assert.deepEqual({ code, output }, { code: 0, output: "DEADLINE_EXCEEDED\n" });
});

test("a script that only speaks ends by itself, also when it forgets to close", async () => {
  const { code, output } = await script(`
    const bus = await connect({ transport: memory(), services: [service("sender", { sends: [Run] })] });
    await bus.send(Run, "1");
    console.log("sent");
  `);
  assert.deepEqual({ code, output }, { code: 0, output: "sent\n" });
});

test("a process that only listens lives until it is closed, and then ends by itself", async () => {
  const { code, output } = await script(
    `
    const bus = await connect({ transport: memory(), services: [service("jobs").handle(Run, () => {})] });
    process.once("SIGUSR2", () => void bus.close().then(() => console.log("closed")));
    process.once("beforeExit", () => console.log("ends"));
    setTimeout(() => console.log("still here"), 50);
  `,
    (heard, kill) => {
      if (heard === "still here\n") kill("SIGUSR2");
    },
  );
  assert.deepEqual({ code, output }, { code: 0, output: "still here\nclosed\nends\n" });
});

test("a feed that somebody reads keeps the process, one that was closed does not", async () => {
  const { code, output } = await script(`
    const bus = await connect({ transport: memory(), services: [service("watcher", { opens: [Watch] })] });
    const items = bus.open(Watch, "1")[Symbol.asyncIterator]();
    const first = items.next().catch((error) => console.log(error.code));
    setTimeout(async () => { await bus.close(); await first; console.log("closed"); }, 50);
  `);
  assert.deepEqual({ code, output }, { code: 0, output: "CLOSED\nclosed\n" });
});

test("a shutdown waits for its handlers although only timers are left", async () => {
  const { code, output } = await script(`
    const jobs = service("jobs").handle(Run, async (_id, context) => { await context.sleep(100); console.log("handled"); });
    const bus = await connect({ transport: memory(), services: [jobs] });
    await bus.send(Run, "1");
    while ((await bus.health()).running["jobs.run"] === 0) await new Promise(setImmediate);
    await bus.close();
    console.log("closed");
  `);
  assert.deepEqual({ code, output }, { code: 0, output: "handled\nclosed\n" });
});

test("SIGTERM ends a service in order", async () => {
  const { code, signal, output } = await script(
    `
    const jobs = service("jobs").handle(Run, async (_id, context) => { console.log("begun"); await context.sleep(100); console.log("handled"); });
    {
      await using bus = await connect({ transport: memory(), services: [jobs] });
      await bus.send(Run, "1");
      console.log(await terminated());
    }
    console.log("closed");
  `,
    (heard, kill) => {
      if (heard === "begun\n") kill("SIGTERM");
    },
  );
  assert.deepEqual(
    { code, signal, output },
    { code: 0, signal: null, output: "begun\nSIGTERM\nhandled\nclosed\n" },
  );
});
