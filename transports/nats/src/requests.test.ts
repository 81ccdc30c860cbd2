import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeEnvironment } from "@waybill/testkit";
import { type Msg, type NatsConnection, errors } from "@nats-io/transport-node";
import { Requests } from "./requests.ts";

type Callback = (error: Error | null, message: Msg) => void;

/** A connection that only writes down. */
function fakeConnection() {
  const closing = Promise.withResolvers<void>();
  const published: { readonly subject: string; readonly reply: string }[] = [];
  const listeners: Callback[] = [];
  const fake = {
    closed: () => closing.promise,
    publish: (subject: string, _data: unknown, { reply }: { reply: string }) =>
      void published.push({ subject, reply }),
    subscribe: (_subject: string, { callback }: { callback: Callback }) => listeners.push(callback),
  };
  const answer = (index: number, message: object = { data: new Uint8Array(1) }): void =>
    listeners.at(-1)?.(null, { subject: published[index]?.reply, ...message } as Msg);
  return {
    connection: fake as unknown as NatsConnection,
    published,
    listeners,
    answer,
    close: () => closing.resolve(),
  };
}

test("each request gets its own answer, over one subscription", async () => {
  const { connection, listeners, answer } = fakeConnection();
  const requests = new Requests(connection, fakeEnvironment());
  const asked = ["a", "b", "c"].map((name) => requests.ask(name, "", { timeoutMs: 1_000 }));
  for (const index of [2, 0, 1]) answer(index, { data: Uint8Array.of(index) });
  // Once more, which changes nothing.
  answer(0, { data: Uint8Array.of(9) });
  assert.deepEqual(
    (await Promise.all(asked)).map(({ data }) => data[0]),
    [0, 1, 2],
  );
  assert.equal(listeners.length, 1);
});

test("a request ends at its own time, whatever others wait for", async () => {
  const { connection, answer } = fakeConnection();
  const environment = fakeEnvironment();
  const requests = new Requests(connection, environment);
  const ended: string[] = [];
  const ask = (name: string, timeoutMs: number): void =>
    void requests.ask(name, "", { timeoutMs }).then(
      () => ended.push(`${name} answered`),
      (error: unknown) =>
        ended.push(error instanceof errors.TimeoutError ? `${name} late` : String(error)),
    );
  ask("long", 5_000);
  ask("short", 100);
  ask("other", 300);
  await environment.advance(99);
  assert.deepEqual(ended, []);
  await environment.advance(1);
  assert.deepEqual(ended, ["short late"]);
  await environment.advance(200);
  assert.deepEqual(ended, ["short late", "other late"]);
  answer(0);
  await environment.advance(10_000);
  assert.deepEqual(ended, ["short late", "other late", "long answered"]);
});

test("nobody listens there: that request alone is rejected", async () => {
  const { connection, answer } = fakeConnection();
  const requests = new Requests(connection, fakeEnvironment());
  const unheard = requests.ask("nowhere", "", { timeoutMs: 1_000 });
  const heard = requests.ask("somewhere", "", { timeoutMs: 1_000 });
  answer(0, { data: new Uint8Array(0), headers: { code: 503 } });
  await assert.rejects(unheard, errors.NoRespondersError);
  answer(1);
  await heard;
});

test("what the server forbids is rejected, and nothing else", async () => {
  const { connection, listeners, answer } = fakeConnection();
  const requests = new Requests(connection, fakeEnvironment());
  const forbidden = requests.ask("secret", "", { timeoutMs: 1_000 });
  const allowed = requests.ask("open", "", { timeoutMs: 1_000 });
  const violation = (operation: "publish" | "subscription", subject: string): Error =>
    new errors.PermissionViolationError("forbidden", operation, subject);
  requests.refused(violation("publish", "elsewhere"));
  requests.refused(violation("publish", "secret"));
  await assert.rejects(forbidden, errors.PermissionViolationError);
  answer(1);
  await allowed;
  // No answers may be heard: all are rejected, and the next request subscribes anew.
  const mute = requests.ask("open", "", { timeoutMs: 1_000 });
  listeners[0]?.(violation("subscription", "_INBOX"), {} as Msg);
  await assert.rejects(mute, errors.PermissionViolationError);
  const again = requests.ask("open", "", { timeoutMs: 1_000 });
  assert.equal(listeners.length, 2);
  answer(3);
  await again;
});

test("a connection that closes rejects what is not answered", async () => {
  const { connection, close } = fakeConnection();
  const requests = new Requests(connection, fakeEnvironment());
  const asked = requests.ask("orders", "", { timeoutMs: 1_000 });
  close();
  await assert.rejects(asked, errors.ClosedConnectionError);
});

test("what was asked on a line that broke is rejected at once, and what is asked after it is not", async () => {
  const { connection, answer } = fakeConnection();
  const requests = new Requests(connection, fakeEnvironment());
  const before = requests.ask("a", "", { timeoutMs: 1_000 });
  requests.lost();
  await assert.rejects(before, errors.ConnectionError);
  const after = requests.ask("b", "", { timeoutMs: 1_000 });
  answer(1);
  assert.equal((await after).data.byteLength, 1);
});
