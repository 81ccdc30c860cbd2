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
import { type SqliteOptions, sqlite } from "./index.ts";
import { type SqliteSubject, subject } from "./subject.fixture.ts";

const text: Schema<string> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as string }) },
};
const Done = event("relay.done", { payload: text });
/** Longer than the longest pause between two renewals, shorter than two of the shortest. */
const renewalMs = 4_200;
const silent = { debug() {}, info() {}, warn() {}, error() {} };

interface Application extends AsyncDisposable {
  readonly made: SqliteSubject;
  readonly environment: FakeEnvironment;
  readonly bus: Bus;
  /** The first that was committed. */
  readonly outgoing: Outgoing | undefined;
  readonly arrived: string[];
  readonly log: string[];
  publish(name: string): Promise<unknown>;
}

interface Options {
  readonly settings?: Omit<SqliteOptions, "file">;
  readonly wrap?: (factory: StoreFactory) => StoreFactory;
}

async function application(options: Options = {}): Promise<Application> {
  const { wrap = (factory: StoreFactory) => factory } = options;
  const made = subject(options.settings);
  const environment = fakeEnvironment();
  let outgoing: Outgoing | undefined;
  const heeding = (factory: StoreFactory): StoreFactory => ({
    ...factory,
    open: (host) =>
      factory.open({
        ...host,
        committed: (rows) => {
          outgoing ??= rows[0]?.outgoing;
          host.committed(rows);
        },
      }),
  });
  const store = heeding(wrap(made.factory()));
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
    get outgoing() {
      return outgoing;
    },
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

interface Beside extends AsyncDisposable {
  write(body: string): Promise<void>;
}

/** Another process of the store, which writes and does nothing else: it sends nothing and renews nothing. */
async function beside(app: Application): Promise<Beside> {
  const { environment, made } = app;
  const host: StoreHost = { environment, logger: silent, committed: () => undefined };
  await app.publish("own");
  const store = await made.factory().open(host);
  return {
    write: (body) => {
      const { outgoing } = app;
      assert.ok(outgoing !== undefined);
      const { header } = outgoing.envelope;
      const envelope = { header: { ...header, id: body }, body: JSON.stringify(body) };
      return store.transaction((transaction) => transaction.append([{ ...outgoing, envelope }]));
    },
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
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
  await using app = await application();
  await using stalled = await beside(app);
  await stalled.write("early");
  await app.made.expire();
  await app.environment.advance(renewalMs);
  assert.deepEqual(app.arrived, ["own", "early"]);
  await stalled.write("late");
  await app.environment.advance(renewalMs);
  assert.deepEqual(app.arrived, ["own", "early", "late"]);
});

test("what a process leaves is sent by another after takeOverAfterMs, and not before", async () => {
  await using app = await application({ settings: { takeOverAfterMs: 60_000 } });
  await using gone = await beside(app);
  await gone.write("left");
  await app.environment.advance(59_000);
  assert.deepEqual(app.arrived, ["own"]);
  await app.environment.advance(26_000);
  assert.deepEqual(app.arrived, ["own", "left"]);
  assert.throws(() => sqlite({ file: ":memory:", takeOverAfterMs: 2_999 }), {
    code: "OPTION_INVALID",
  });
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
