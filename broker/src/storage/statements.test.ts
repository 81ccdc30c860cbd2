import assert from "node:assert/strict";
import { test } from "node:test";
import { DatabaseSync } from "node:sqlite";
import { migrations } from "./migrations.ts";
import { schema } from "./schema.ts";
import { statementTexts } from "./statements.ts";

/** These look through a whole table on purpose; the table is small whatever waits in the broker. */
const mayScan: Readonly<Record<string, string>> = {
  allAddresses: "one row per declared address, read when the topology has changed",
  allPartitions: "one row per partition, read when the topology has changed",
  boundedPartitions: "one row per partition, every ten seconds",
  allLeases: "one row per receiver, once after a start of the machine",
  allInstances: "one row per process, once after a start of the machine",
  deadInstances: "one row per process",
  nextDue: "one row per process; the rest are looks at the first row of an index",
  cursorsIn: "one row per group and partition, when retention removes something",
  allBooks: "one row per address, type and kind of count, for people who look",
  typesReady: "counts what stands at one address by type, up to 10,000, for people who look",
  typesReadySessions: "as typesReady",
  typesLocked: "as typesReady",
  typesScheduled: "as typesReady",
  typesDeferred: "as typesReady",
  typesDead: "as typesReady",
  oldestWaiting: "the first rows of an address and of its sessions, and what is in flight",
  countItems: "as many as are asked for",
  countLockedRemoved: "one row per receiver, and what those of gone addresses hold",
  foldBook: "the lines of one temporary address that has ended",
  listReadySessions: "sorts what waits in the sessions of one address, for people who look",
  listLocked: "sorts what is in flight at one address",
};

function planOf(db: DatabaseSync, text: string): string[] {
  const rows = db.prepare(`explain query plan ${text}`).all() as { detail: string }[];
  return rows.map(({ detail }) => detail);
}

test("no statement scans or sorts what waits: the cost of claiming does not grow with the backlog", () => {
  const db = new DatabaseSync(":memory:");
  for (const part of [schema, ...migrations]) db.exec(part);
  for (const [name, text] of Object.entries(statementTexts())) {
    if (!/^(select|insert|update|delete)/.test(text) || name in mayScan) continue;
    const costly = planOf(db, text).filter(
      (detail) =>
        (detail.startsWith("SCAN") && !detail.includes("CONSTANT ROW")) ||
        detail.includes("TEMP B-TREE"),
    );
    assert.deepEqual(costly, [], `${name}: ${text}`);
  }
  db.close();
});

test("what was sent for later is found by its id in an index", () => {
  const db = new DatabaseSync(":memory:");
  for (const part of [schema, ...migrations]) db.exec(part);
  for (const [name, terms] of [
    ["scheduledAs", "id=?"],
    ["scheduledAsAt", "id=? AND address=?"],
  ] as const) {
    const plan = planOf(db, statementTexts()[name] ?? "");
    assert.deepEqual(plan, [`SEARCH scheduled USING COVERING INDEX scheduled_id (${terms})`]);
  }
  db.close();
});

test("the look at what is due reads only first rows and the table of processes", () => {
  const db = new DatabaseSync(":memory:");
  for (const part of [schema, ...migrations]) db.exec(part);
  const plan = planOf(db, statementTexts()["nextDue"] ?? "").filter(
    (detail) => !/^SCAN CONSTANT|^(CORRELATED )?SCALAR/.test(detail),
  );
  assert.equal(
    plan.some((detail) => detail.includes("TEMP B-TREE")),
    false,
  );
  for (const detail of plan) assert.ok(/^SEARCH|^SCAN instance/.test(detail), detail);
  db.close();
});
