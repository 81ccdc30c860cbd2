import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { type Schema, event } from "@waybill/contracts";
import {
  type Bus,
  type Outgoing,
  type StoreFactory,
  type StoreHost,
  connect,
  memory,
  service,
} from "@waybill/core";
import { type FakeEnvironment, fakeEnvironment } from "@waybill/testkit";
import { sqlite } from "./index.ts";
import { type SqliteSubject, subject } from "./subject.fixture.ts";

const text: Schema<string> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as string }) },
};
const Done = event("relay.done", { payload: text });
/** Longer than the longest pause between two renewals, shorter than two of the shortest. */
const renewalMs = 13_000;
const silent = { debug() {}, info() {}, warn() {}, error() {} };

interface Application extends AsyncDisposable {
  readonly made: SqliteSubject;
  readonly environment: FakeEnvironment;
  readonly bus: Bus;
  readonly arrived: string[];
  readonly log: string[];
  publish(name: string): Promise<unknown>;
}

interface Options {
  readonly wrap?: (factory: StoreFactory) => StoreFactory;
}

async function application(options: Options = {}): Promise<Application> {
  const { wrap = (factory: StoreFactory) => factory } = options;
  const made = subject();
  const environment = fakeEnvironment();
  const store = wrap(made.factory());
  const arrived: string[] = [];
  const log: string[] = [];
  const say = (message: string): void => void log.push(message);
  const bus = await connect({
    transport: memory(),
    services: [
      service("working", { publishes: [Done], store }),
      service("watching").on(Done, (name) => void arrived.push(name)),
    ],
    environment,
    logger: { debug: say, info: say, warn: say, error: say },
  });
  return {
    made,
    environment,
    bus,
    arrived,
    log,
    publish: async (name) => {
      await bus.transaction(store, (each) => each.publish(Done, name));
      await environment.drain();
    },
    [Symbol.asyncDispose]: async () => {
      await bus.close();
      await made.close();
    },
  };
}

test("a row of whose commit nobody was told leaves with the next renewal", async () => {
  let isDeaf = false;
  await using app = await application({
    wrap: (factory) => ({
      ...factory,
      open: (host) =>
        factory.open({ ...host, committed: (rows) => void (isDeaf || host.committed(rows)) }),
    }),
  });
  await app.publish("told");
  // As when the answer to COMMIT is lost, and the server stores it long after.
  isDeaf = true;
  await app.publish("untold");
  assert.deepEqual(app.arrived, ["told"]);
  await app.environment.advance(renewalMs);
  assert.deepEqual(app.arrived, ["told", "untold"]);
  assert.equal((await app.bus.health()).stores[0]?.waiting, 0);
});

test("what a process commits after another took it for dead is sent by the other", async () => {
  let early: Outgoing | undefined;
  await using app = await application({
    wrap: (factory) => ({
      ...factory,
      open: (host) =>
        factory.open({
          ...host,
          committed: (rows) => {
            early ??= rows[0]?.outgoing;
            host.committed(rows);
          },
        }),
    }),
  });
  await app.publish("own");
  const host: StoreHost = {
    environment: app.environment,
    logger: silent,
    committed: () => undefined,
  };
  const stalled = await app.made.factory().open(host);
  const write = (body: string): Promise<void> => {
    assert.ok(early !== undefined);
    const { header } = early.envelope;
    const envelope = { header: { ...header, id: body }, body: JSON.stringify(body) };
    const outgoing = { ...early, envelope };
    return stalled.transaction((transaction) => transaction.append([outgoing]));
  };
  await write("early");
  await app.made.expire();
  await app.environment.advance(renewalMs);
  assert.deepEqual(app.arrived, ["own", "early"]);
  await write("late");
  await app.environment.advance(renewalMs);
  assert.deepEqual(app.arrived, ["own", "early", "late"]);
  await stalled[Symbol.asyncDispose]();
});

test("opening that fails leaves no file open", { skip: process.platform !== "linux" }, async () => {
  const directory = mkdtempSync(join(tmpdir(), "waybill-sqlite-"));
  const file = join(directory, "store.db");
  const factory = sqlite({ file });
  factory.migrate();
  const db = new DatabaseSync(file);
  db.exec(
    "create trigger refuse before insert on waybill_instance begin select raise(fail, 'no'); end",
  );
  db.close();
  const host: StoreHost = {
    environment: fakeEnvironment(),
    logger: silent,
    committed: () => undefined,
  };
  await assert.rejects(factory.open(host), { code: "STORAGE_FAILED" });
  assert.deepEqual(
    readdirSync("/proc/self/fd")
      .map(linkOf)
      .filter((path) => path.startsWith(file)),
    [],
  );
  rmSync(directory, { recursive: true });
});

function linkOf(name: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${name}`);
  } catch {
    return "";
  }
}
