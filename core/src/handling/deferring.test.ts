import assert from "node:assert/strict";
import { test } from "node:test";
import { command, event } from "@waybill/contracts";
import * as z from "zod";
import { WaybillError } from "../errors.ts";
import { defer, retry } from "./outcome.ts";
import { service } from "../service.ts";
import { manualEnvironment, tested, turns, until } from "../testing.fixture.ts";

const PayOut = command("expenses.pay-out", { input: z.object({ id: z.string(), cents: z.int() }) });
const Approved = event("expenses.approved", { payload: z.object({ id: z.string() }) });

const script = service("script", { sends: [PayOut], publishes: [Approved] });

test("a handler defers by its handle, and another one resumes exactly that message", async () => {
  const handles = new Map<string, string>();
  const approved = new Set<string>();
  const paid: string[] = [];
  const answers: string[] = [];
  const expenses = service("expenses")
    .handle(
      PayOut,
      ({ id }, { handle, attempt }) => {
        if (approved.has(id)) return void paid.push(`${id}#${attempt}`);
        handles.set(id, handle ?? "");
        return defer();
      },
      { retry: { attempts: 1 } },
    )
    .on(Approved, async ({ id }, context) => {
      approved.add(id);
      const answer = await context.resumeDeferred(handles.get(id) ?? "");
      answers.push(answer);
      return answer === "waiting" ? retry({ afterMs: 1 }) : undefined;
    });
  await using system = await tested([expenses, script]);
  const { bus } = system;
  for (const id of ["e-1", "e-2", "e-3"]) await bus.send(PayOut, { id, cents: 500 });
  await until("all are deferred", async () => (await bus.deferred.list()).length === 3);
  await bus.publish(Approved, { id: "e-2" });
  await until("one is paid", () => paid.length === 1);
  assert.deepEqual(paid, ["e-2#1"], "deferring costs no attempt");
  const left = (await bus.deferred.list()).map(({ handle }) => handle);
  assert.deepEqual(left, [handles.get("e-1"), handles.get("e-3")]);
  assert.deepEqual(answers, ["resumed"]);
  assert.equal(await bus.deferred.resume(handles.get("e-2") ?? ""), "gone");
  approved.add("e-1");
  assert.equal(await bus.deferred.resume(handles.get("e-1") ?? ""), "resumed");
  await until("another one is paid", () => paid.length === 2);
});

test("what is resumed or replayed after its time is handled, also after it has failed again", async () => {
  const environment = manualEnvironment();
  const paid: string[] = [];
  const expenses = service("expenses").handle(
    PayOut,
    ({ id }, { attempt }) => {
      if (environment.clock.now() < late) {
        if (id === "deferred") return defer();
        throw new WaybillError("HANDLER_FAILED", "no such account", { retryable: false });
      }
      if (attempt === 1 && id === "dead") return retry({ afterMs: 10 });
      return void paid.push(`${id}#${attempt}`);
    },
    { retry: { jitter: 0 } },
  );
  await using system = await tested([expenses, script], { environment });
  const { bus } = system;
  const late = environment.clock.now() + 1_000;
  for (const id of ["deferred", "dead"])
    await bus.send(PayOut, { id, cents: 500 }, { ttlMs: 1_000 });
  await environment.advance(1_000);
  const [deferred] = await bus.deferred.list();
  assert.equal(await bus.deferred.resume(deferred?.handle ?? ""), "resumed");
  const [dead] = await bus.deadLetters.list();
  assert.equal(await bus.deadLetters.replay([dead?.handle ?? ""]), 1);
  await environment.advance(20);
  assert.deepEqual(paid, ["deferred#1", "dead#2"]);
  assert.deepEqual(await bus.deadLetters.list(), []);
});

test("who resumes before the deferral is stored is told so, and nothing is lost by trying again", async () => {
  const handles: string[] = [];
  const go = Promise.withResolvers<void>();
  let runs = 0;
  const expenses = service("expenses").handle(PayOut, async (_expense, context) => {
    runs += 1;
    if (runs > 1) return undefined;
    handles.push(context.handle ?? "");
    await go.promise;
    return defer();
  });
  await using system = await tested([expenses, script]);
  const { deferred } = system.bus;
  await system.bus.send(PayOut, { id: "e-1", cents: 1 });
  await until("it runs", () => handles.length === 1);
  const [handle = ""] = handles;
  assert.equal(await deferred.resume(handle), "waiting");
  go.resolve();
  await until("it is resumed", async () => (await deferred.resume(handle)) === "resumed");
  await until("it is handled", () => runs === 2);
  await until("it is gone", async () => (await deferred.resume(handle)) === "gone");
});

test("what was deferred is read as its contract says, and not as another one's", async () => {
  const expenses = service("expenses")
    .handle(PayOut, () => defer())
    .on(Approved, () => undefined);
  await using system = await tested([expenses, script]);
  const { deferred } = system.bus;
  await system.bus.send(PayOut, { id: "e-1", cents: 700 });
  await until("it is deferred", async () => (await deferred.list()).length === 1);
  const [{ handle } = { handle: "" }] = await deferred.list();
  const message = await deferred.get(handle);
  assert.ok(message !== undefined);
  const { cents }: { cents: number } = await deferred.readAs(PayOut, message);
  assert.equal(cents, 700);
  await assert.rejects(deferred.readAs(Approved, message), { code: "OPTION_INVALID" });
  const wrong = { ...message, envelope: { ...message.envelope, body: '{"id":7}' } };
  await assert.rejects(deferred.readAs(PayOut, wrong), { code: "MESSAGE_INVALID" });
  assert.equal(await deferred.get("no such handle"), undefined);
  await turns();
});
