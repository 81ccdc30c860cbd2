import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { type Environment, systemEnvironment, type WaybillError } from "@waybill/core";
import { fakeEnvironment } from "@waybill/testkit";
import { AddressBook } from "../addresses.ts";
import { type Database, openDatabase } from "./database.ts";
import { folder, open, silent, toQueue, topology, until } from "../fixture.test.support.ts";
import { settingsOf } from "../options.ts";
import { prepareStatements } from "./statements.ts";
import { Refusal, type Transaction } from "./transaction.ts";
import { Turns } from "../processes/turns.ts";
import { type Operation, Writer } from "./writer.ts";

interface Setting {
  readonly database: Database;
  readonly writer: Writer;
  /** How often a transaction was begun and committed, and what was changed brought to the disk. */
  readonly counts: { commits: number; syncs: number };
  readonly disk: { sync(): void };
}

async function withWriter(
  context: TestContext,
  environment: Environment = systemEnvironment,
): Promise<Setting> {
  const database = await openDatabase(
    settingsOf({ directory: folder(context) }),
    systemEnvironment,
  );
  context.after(() => database.db.close());
  const sql = prepareStatements(database.db);
  const turns = new Turns(database.file, environment);
  context.after(() => turns.close());
  const writer = new Writer(
    {
      file: database.file,
      sql,
      addresses: new AddressBook(sql),
      environment,
      logger: silent,
      turns,
      durability: {
        sync: () => {
          counts.syncs += 1;
          disk.sync();
        },
      },
    },
    { committed: () => void (counts.commits += 1), stored: () => {} },
  );
  const counts = { commits: 0, syncs: 0 };
  const disk = { sync: (): void => {} };
  return { database, writer, counts, disk };
}

interface Noted extends Operation {
  outcome: "open" | "done" | WaybillError["code"];
  fate: "unsynced" | undefined;
}

function operation(run: (transaction: Transaction) => void): Noted {
  const noted: Noted = {
    weight: 1,
    bytes: 0,
    outcome: "open",
    fate: undefined,
    run,
    done: () => void (noted.outcome = "done"),
    failed: ({ code }, fate) => {
      noted.outcome = code;
      noted.fate = fate;
    },
  };
  return noted;
}

const insert = ({ sql, now, takeSeq }: Transaction, transaction: Transaction): void =>
  void sql.insertMessage.run(takeSeq.call(transaction), 1, now, 0, "{}", "");
const store = (transaction: Transaction): void => insert(transaction, transaction);

test("what is submitted in one turn shares one transaction", async (context) => {
  const { writer, counts } = await withWriter(context);
  const operations = Array.from({ length: 50 }, () => operation(store));
  for (const each of operations) writer.submit(each);
  await writer.drained();
  assert.ok(operations.every(({ outcome }) => outcome === "done"));
  assert.equal(counts.commits, 1);
});

test("nothing is acknowledged before it is on the disk, and meanwhile others write", async (context) => {
  const { writer, database, counts, disk } = await withWriter(context);
  const sent = operation(store);
  const seen: unknown[] = [];
  disk.sync = () => {
    const rival = new DatabaseSync(database.file, { timeout: 0 });
    rival.exec("begin immediate");
    seen.push(sent.outcome, rival.prepare("select count(*) as count from message").get());
    rival.exec("rollback");
    rival.close();
  };
  writer.submit(sent);
  await writer.drained();
  assert.deepEqual([seen[0], { ...(seen[1] as object) }], ["open", { count: 1 }]);
  assert.equal(sent.outcome, "done");
  writer.submit(operation(() => {}));
  await writer.drained();
  assert.deepEqual(counts, { commits: 2, syncs: 1 }, "what changes nothing needs no disk");
});

test("what the disk did not take is not acknowledged, and what comes later is", async (context) => {
  const { writer, counts, disk } = await withWriter(context);
  const [refusing, lost, later] = [
    operation(() => {
      throw new Refusal(new Error("no"));
    }),
    operation(store),
    operation(store),
  ];
  disk.sync = () => {
    throw new Error("EIO");
  };
  writer.submit(lost);
  writer.submit(refusing);
  await writer.drained();
  assert.deepEqual([lost.outcome, lost.fate], ["STORAGE_FAILED", "unsynced"]);
  assert.deepEqual([refusing.outcome, refusing.fate], ["STORAGE_FAILED", undefined]);
  disk.sync = () => {};
  writer.submit(later);
  await writer.drained();
  assert.equal(later.outcome, "done");
  assert.deepEqual(counts, { commits: 2, syncs: 2 });
});

test("a transaction is bounded in messages", async (context) => {
  const { writer, counts } = await withWriter(context);
  for (let count = 0; count < 2_500; count++) writer.submit(operation(store));
  await writer.drained();
  assert.equal(counts.commits, 3);
});

test("many small claims share a transaction; large ones leave the others for the next, none of them twice", async (context) => {
  const { writer, counts } = await withWriter(context);
  for (let count = 0; count < 200; count++) writer.submit(operation(store), "last");
  await writer.drained();
  assert.equal(counts.commits, 1);
  const order: number[] = [];
  const claims = Array.from({ length: 5 }, (_, index) =>
    operation((transaction) => {
      order.push(index);
      transaction.claimed += 8_000;
    }),
  );
  for (const each of claims) writer.submit(each, "last");
  const sent = operation(store);
  writer.submit(sent);
  await writer.drained();
  assert.deepEqual(order, [0, 1, 2, 3, 4]);
  assert.ok([...claims, sent].every(({ outcome }) => outcome === "done"));
  assert.equal(counts.commits, 4);
  assert.equal(writer.waiting, 0);
});

test("who refuses before its first change fails alone, in the same transaction", async (context) => {
  const { writer, counts } = await withWriter(context);
  const refusing = operation(() => {
    throw new Refusal(new Error("no"));
  });
  const others = [operation(store), operation(store)];
  for (const each of [others[0], refusing, others[1]]) if (each !== undefined) writer.submit(each);
  await writer.drained();
  assert.deepEqual(
    others.map(({ outcome }) => outcome),
    ["done", "done"],
  );
  assert.equal(refusing.outcome, "STORAGE_FAILED");
  assert.equal(counts.commits, 1);
});

test("who breaks the transaction fails alone, and leaves nothing behind", async (context) => {
  const { writer, database } = await withWriter(context);
  const breaking = operation((transaction) => {
    store(transaction);
    throw new Error("broken");
  });
  const others = [operation(store), operation(store)];
  for (const each of [others[0], breaking, others[1]]) if (each !== undefined) writer.submit(each);
  await writer.drained();
  assert.deepEqual(
    others.map(({ outcome }) => outcome),
    ["done", "done"],
  );
  assert.equal(breaking.outcome, "STORAGE_FAILED");
  const rows = database.db.prepare("select seq from message order by seq").all() as {
    seq: number;
  }[];
  assert.deepEqual(
    rows.map(({ seq }) => seq),
    [1, 2],
  );
});

test("the write lock of another process is waited for without blocking, and given up after a bound", async (context) => {
  const environment = fakeEnvironment();
  const { writer, database } = await withWriter(context, environment);
  database.db.exec("pragma busy_timeout = 0");
  const other = (await import("node:sqlite")).DatabaseSync;
  const rival = new other(database.file);
  rival.exec("begin immediate");
  const late = operation(store);
  writer.submit(late);
  await environment.advance(5_000);
  assert.equal(late.outcome, "open");
  await environment.advance(6_000);
  assert.equal(late.outcome, "STORAGE_BUSY");
  const patient = operation(store);
  writer.submit(patient);
  await environment.advance(2_000);
  rival.exec("rollback");
  rival.close();
  await environment.advance(100);
  assert.equal(patient.outcome, "done");
});

test("in a crowd a process writes for a few milliseconds, then lets the others go first", async (context) => {
  const environment = fakeEnvironment();
  const { writer, database, counts } = await withWriter(context, environment);
  database.db.exec("pragma busy_timeout = 0");
  const others = [1, 2].map(() => new Turns(database.file, environment));
  context.after(() => others.forEach((each) => each.close()));
  for (const each of others) each.ask();
  const rival = new DatabaseSync(database.file);
  rival.exec("begin immediate");
  const first = operation(store);
  writer.submit(first);
  await environment.advance(10);
  rival.exec("rollback");
  rival.close();
  await environment.advance(5);
  assert.equal(first.outcome, "done");
  const [second, third, fourth] = [operation(store), operation(store), operation(store)];
  writer.submit(second);
  await environment.drain();
  assert.equal(second.outcome, "done", "the burst goes on");
  await environment.advance(6);
  writer.submit(third);
  await environment.drain();
  assert.equal(third.outcome, "done", "its last transaction");
  writer.submit(fourth);
  await environment.drain();
  assert.equal(fourth.outcome, "open", "the others' turn");
  await environment.advance(15);
  assert.equal(fourth.outcome, "done", "nobody took it");
  assert.equal(counts.commits, 4);
});

test("a full buffer refuses more with BUFFER_FULL", async (context) => {
  const transport = await open(context, folder(context), { bufferMessagesMax: 10 });
  await transport.declare(topology({ queues: [{ name: "orders" }] }));
  const sends = Array.from({ length: 12 }, (_, index) =>
    transport.send([toQueue("orders", `${index}`)]),
  );
  const outcomes = await Promise.allSettled(sends);
  const codes = outcomes.map((outcome) =>
    outcome.status === "rejected" ? (outcome.reason as WaybillError).code : "stored",
  );
  assert.deepEqual(codes, [
    ...Array.from({ length: 10 }, () => "stored"),
    "BUFFER_FULL",
    "BUFFER_FULL",
  ]);
  await until("room again", () => transport.send([toQueue("orders", "again")]).then(() => true));
});
