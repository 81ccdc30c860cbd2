import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, command, event } from "@waybill/contracts";
import { connect, type ConnectOptions } from "../connect.ts";
import { WaybillError } from "../errors.ts";
import { memory } from "../memory/index.ts";
import type { TransportFactory } from "../ports/transport.ts";
import { type Service, service } from "../service.ts";
import { recordingLogger, turns, until } from "../testing.fixture.ts";

interface Job {
  readonly id: string;
  readonly key: string;
}

const Job: Schema<Job> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value: unknown) => ({ value: value as Job }),
  },
};

const Run = command("jobs.run", { input: Job, key: ({ key }) => key });
const Ran = event("jobs.ran", { payload: Job, key: ({ key }) => key });
const Loose = command("jobs.loose", { input: Job });

function open(
  transport: TransportFactory,
  services: readonly Service[],
  more: Partial<ConnectOptions<readonly Service[]>> = {},
) {
  return connect({ transport, services, logger: recordingLogger(), ...more });
}

async function faultsOf(one: Service): Promise<string> {
  const error: unknown = await open(memory(), [one]).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof WaybillError);
  assert.equal(error.code, "WIRING_INVALID");
  return error.message;
}

/** As a transport that has no sessions: what the capability says, and what arrives. */
function withoutSessions(): TransportFactory {
  const inner = memory();
  return {
    name: "sessionless",
    open: async (host) => {
      const transport = await inner.open(host);
      return {
        ...transport,
        name: "sessionless",
        capabilities: { ...transport.capabilities, sessions: false, keyOrder: "none" },
        inspection: transport.inspection,
        declare: ({ queues, subscriptions, ...rest }) =>
          transport.declare({
            ...rest,
            queues: queues.map((queue) => ({ ...queue, sessions: false })),
            subscriptions: subscriptions.map((each) => ({ ...each, sessions: false })),
          }),
        send: (batch) => transport.send(batch),
        receive: (source, options, listener) => transport.receive(source, options, listener),
        [Symbol.asyncDispose]: () => transport[Symbol.asyncDispose](),
      };
    },
  };
}

test("the key of a contract orders its messages over all instances of its handler, with nothing said there", async () => {
  const transport = memory();
  const order: Record<string, string[]> = { a: [], b: [], c: [] };
  const busy = new Set<string>();
  const by = new Set<string>();
  const worker = (name: string) =>
    service("jobs").handle(
      Run,
      async ({ id, key }) => {
        assert.ok(!busy.has(key), `${key} is handled twice at a time`);
        busy.add(key);
        by.add(name);
        await turns(Number(id) % 4);
        order[key]?.push(id);
        busy.delete(key);
      },
      { concurrency: 2, prefetch: 3 },
    );
  await using one = await open(transport, [worker("one")]);
  await using two = await open(transport, [worker("two")]);
  const ids = Array.from({ length: 30 }, (_, index) => String(index));
  for (const id of ids)
    for (const key of ["a", "b", "c"])
      await (Number(id) % 2 === 0 ? one : two).send(Run, { id, key });
  await until("all", () => Object.values(order).every(({ length }) => length === 30));
  assert.deepEqual(order, { a: ids, b: ids, c: ids });
  assert.deepEqual([...by].toSorted(), ["one", "two"]);
});

test("each subscriber of an event with a key handles it in order; a failing one holds back its key on every instance", async () => {
  const transport = memory();
  const seen: string[] = [];
  let failures = 0;
  const reader = service("reader").on(
    Ran,
    ({ id, key }) => {
      if (key === "a" && failures++ < 3) throw new Error("not yet");
      seen.push(`${key}${id}`);
    },
    { retry: { immediate: 0, delayMs: 5, attempts: 9, factor: 1, jitter: 0 } },
  );
  await using speaker = await open(transport, [service("speaker", { publishes: [Ran] }), reader]);
  await using _ = await open(transport, [reader]);
  for (const id of ["1", "2"])
    for (const key of ["a", "b"]) await speaker.publish(Ran, { id, key });
  await until("all", () => seen.length === 4);
  assert.deepEqual(seen, ["b1", "b2", "a1", "a2"]);
});

test("a key must be text of 1 to 256 characters: who sends hears of it", async () => {
  await using it = await open(memory(), [service("jobs").handle(Run, () => undefined)]);
  for (const key of ["", "x".repeat(257), "\ud800", undefined as unknown as string])
    await assert.rejects(it.send(Run, { id: "1", key }), { code: "MESSAGE_INVALID" });
  await it.send(Run, { id: "1", key: 7 as unknown as string });
});

test("without sessions a key keeps its order within the process, and the log says so", async () => {
  const logger = recordingLogger();
  const seen: string[] = [];
  const jobs = service("jobs")
    .handle(Run, async ({ id }) => {
      await turns(3 - Number(id));
      seen.push(id);
    })
    .handle(Loose, () => undefined, { orderedBy: ({ key }) => key });
  await using it = await open(withoutSessions(), [jobs], { logger });
  for (const id of ["1", "2", "3"]) await it.send(Run, { id, key: "a" });
  await until("all", () => seen.length === 3);
  assert.deepEqual(seen, ["1", "2", "3"]);
  assert.ok(logger.has("info", /jobs\.run.* sessionless cannot order it/));
  assert.ok(logger.has("info", /jobs\.loose.* give the command a key/));
});

test("with sessions the log speaks only of handlers that order by a function of their own", async () => {
  const logger = recordingLogger();
  const jobs = service("jobs")
    .handle(Run, () => undefined)
    .handle(Loose, () => undefined, { orderedBy: ({ key }) => key });
  await using _ = await open(memory(), [jobs], { logger });
  assert.ok(!logger.has("info", /jobs\.run\) is ordered/));
  assert.ok(logger.has("info", /jobs\.loose\) is ordered/));
});

test("an order that cannot be kept as it is said is refused at start", async () => {
  const both = service("jobs").handle(Run, () => undefined, { orderedBy: ({ id }) => id });
  assert.match(await faultsOf(both), /says orderedBy, and the command has a key/);
  const keyless = service("jobs").handle(Loose, () => undefined, { onDeadLetter: "park" });
  assert.match(await faultsOf(keyless), /the command has no key/);
  const wrong = { onDeadLetter: "stop" } as unknown as { onDeadLetter: "park" };
  assert.match(
    await faultsOf(service("jobs").handle(Run, () => undefined, wrong)),
    /give "continue" or "park"/,
  );
  const faulty = { ...Loose, key: "id" } as unknown as typeof Loose;
  assert.match(
    await faultsOf(service("jobs").handle(faulty, () => undefined)),
    /key of command "jobs\.loose".* is no function/,
  );
  const parking = service("jobs").handle(Run, () => undefined, { onDeadLetter: "park" });
  await assert.rejects(open(withoutSessions(), [parking]), { code: "NOT_SUPPORTED" });
});
