import assert from "node:assert/strict";
import { after, test } from "node:test";
import { capture, captured } from "./index.ts";
import { ownServer } from "./server.fixture.ts";
import { Changes, start, until } from "./subject.fixture.ts";

const server = await ownServer();
after(() => server[Symbol.asyncDispose]());
const { url } = server;

/** Of a table with an id and a text. */
const whole = (table: string) =>
  captured(table, {
    columns: { id: "number", text: "text?" },
    stream: Changes,
    map: (change) => ({ ...change }),
  });

test("what an old program writes is published, every kind of change, in order, under ids of its own", async () => {
  await using old = await program();
  await old.query("create table kinds (id int primary key, text text)");
  await old.query("insert into kinds values (1, 'there')");
  await using run = await start(capture("kinds", { url, tables: [whole("kinds")] }));
  await until("it captures", async () => (await run.state()) === "capturing");
  await old.query("insert into kinds values (2, 'two'), (3, null)");
  await old.query("update kinds set text = 'zwei' where id = 2");
  await old.query("update kinds set id = 4 where id = 2");
  await old.query("delete from kinds where id = 3");
  await old.query("truncate kinds");
  await until(
    "all came",
    () => run.seen.length >= 7,
    () => run.seen,
  );
  assert.deepEqual(
    run.seen.map(({ kind, row, old: before }) => [kind, row, before]),
    [
      ["read", { id: 1, text: "there" }, undefined],
      ["insert", { id: 2, text: "two" }, undefined],
      ["insert", { id: 3, text: null }, undefined],
      ["update", { id: 2, text: "zwei" }, undefined],
      ["update", { id: 4, text: "zwei" }, { id: 2 }],
      ["delete", undefined, { id: 3 }],
      ["truncate", undefined, undefined],
    ],
  );
  assert.equal(new Set(run.seen.map(({ id }) => id)).size, 7);
  assert.equal((await run.bus.health()).status, "up");
});

test("transactions come in the order of their commits, whole, and what was rolled back never", async () => {
  await using one = await program();
  await using other = await program();
  await one.query("create table commits (id serial primary key, text text)");
  await using run = await start(
    capture("commits", { url, tables: [whole("commits")], snapshot: "never" }),
  );
  await until("it captures", async () => (await run.state()) === "capturing");
  await one.query("begin; insert into commits (text) values ('late 1')");
  await other.query("begin; insert into commits (text) values ('early 1')");
  await one.query("insert into commits (text) values ('late 2')");
  await other.query("insert into commits (text) values ('early 2'); commit");
  await other.query("begin; insert into commits (text) values ('never'); rollback");
  await other.query(
    "begin; savepoint s; insert into commits (text) values ('neither'); rollback to s; insert into commits (text) values ('kept'); commit",
  );
  await one.query("commit");
  await until(
    "all came",
    () => run.seen.length >= 5,
    () => run.seen,
  );
  assert.deepEqual(
    run.seen.map(({ row }) => row?.["text"]),
    ["early 1", "early 2", "kept", "late 1", "late 2"],
  );
});

test("types become what was declared, whatever the database is set to", async () => {
  await using old = await program();
  await old.query(
    "alter role postgres set datestyle = 'German'; alter role postgres set timezone = 'Asia/Tokyo'",
  );
  await old.query(
    `create table "odd Types" (id bigint primary key, n numeric, ok boolean, j jsonb, b bytea, at timestamptz, day date, list text[], f float8, e text)`,
  );
  await old.query(`create domain cents as integer; alter table "odd Types" add c cents`);
  const insert = `insert into "odd Types" values (9007199254740993, 12.50, true, '{"__proto__": 1, "a": [null]}', '\\x00ff', '2026-01-31 09:30:00.123456+00', '2026-01-31', '{a,NULL,"b c"}', 0.1, '', 5)`;
  await old.query(insert);
  const made = capture("types", {
    url,
    tables: [
      captured("odd Types", {
        columns: {
          id: "text",
          n: "text",
          ok: "boolean",
          j: "json",
          b: "bytes",
          at: "timestamptz",
          day: "text",
          list: "text",
          f: "number",
          e: "text",
          c: "number",
        },
        stream: Changes,
        map: ({ kind, ...change }) => {
          if (!("row" in change)) return undefined;
          const { b, j, ...row } = change.row;
          return {
            kind,
            row: { ...row, b: [...b], j: JSON.stringify(j) },
          };
        },
      }),
    ],
  });
  await using run = await start(made);
  await until("it captures", async () => (await run.state()) === "capturing");
  await old.query(insert.replace("9007199254740993", "1"));
  await until(
    "both came",
    () => run.seen.length >= 2,
    () => run.seen,
  );
  const row = {
    n: "12.50",
    ok: true,
    j: '{"a":[null],"__proto__":1}',
    b: [0, 255],
    at: "2026-01-31T09:30:00.123456Z",
    day: "2026-01-31",
    list: '{a,NULL,"b c"}',
    f: 0.1,
    e: "",
    c: 5,
  };
  assert.deepEqual(
    run.seen.map((each) => each.row),
    [
      { id: "9007199254740993", ...row },
      { id: "1", ...row },
    ],
  );
  await old.query("alter role postgres reset all");
});

test("a large value that an update leaves: halted, undefined, or taken from the old row, as was chosen", async () => {
  await using old = await program();
  const large = "concat(id, repeat(md5(random()::text), 400))";
  await old.query("create table large (id int primary key, n int, text text)");
  await old.query("alter table large alter text set storage external");
  const made = (name: string, mayBeAbsent: "text"[]) =>
    capture(name, {
      url,
      snapshot: "never",
      tables: [
        captured("large", {
          columns: { id: "number", n: "number", text: "text" },
          mayBeAbsent,
          stream: Changes,
          map: (change) =>
            "row" in change
              ? { kind: change.kind, row: { n: change.row.n, length: change.row.text?.length } }
              : undefined,
        }),
      ],
    });
  await using strict = await start(made("large-strict", []));
  await using lenient = await start(made("large-lenient", ["text"]));
  for (const run of [strict, lenient])
    await until("it captures", async () => (await run.state()) === "capturing");
  await old.query(`insert into large select 1, 0, ${large} from (select 1 as id) as one`);
  await old.query("update large set n = 1");
  await until(
    "it came",
    () => lenient.seen.length === 2,
    () => lenient.seen,
  );
  assert.deepEqual(
    lenient.seen.map(({ row }) => row),
    [{ n: 0, length: 12_801 }, { n: 1 }],
  );
  await until("it halts", async () => (await strict.state()) === "halted");
  const health = await strict.bus.health();
  assert.equal(health.status, "failed");
  assert.match(
    health.reasons.join(),
    /public\.large leaves the large value of "text".*replica identity full/,
  );
  assert.equal(strict.seen.length, 1, "what came before is published");
  await old.query("alter table large replica identity full");
  await old.query("update large set n = 2");
  await until(
    "it came",
    () => lenient.seen.length === 3,
    () => lenient.seen,
  );
  assert.deepEqual(lenient.seen[2]?.row, { n: 2, length: 12_801 });
});

test("a column that is renamed halts it by name, and who knows both names goes on without a gap", async () => {
  await using old = await program();
  await old.query("create table renamed (id int primary key, price text)");
  const first = capture("renamed", {
    url,
    tables: [
      captured("renamed", {
        columns: { id: "number", price: "text" },
        stream: Changes,
        map: (change) => ({ ...change }),
      }),
    ],
  });
  const seen = [];
  {
    await using run = await start(first);
    await until("it captures", async () => (await run.state()) === "capturing");
    await old.query("insert into renamed values (1, 'one')");
    await until("it came", () => run.seen.length === 1);
    await old.query("alter table renamed rename price to cost");
    await old.query("insert into renamed values (2, 'two')");
    await old.query("alter table renamed add more int default 7");
    await old.query("insert into renamed values (3, 'three')");
    await until("it halts", async () => (await run.state()) === "halted");
    const { reasons, status } = await run.bus.health();
    assert.equal(status, "failed");
    assert.match(reasons.join(), /public\.renamed has no column "price"; it has id, cost/);
    assert.ok(run.log.lines.some((line) => /^error .*no column "price"/.test(line)));
    seen.push(...run.seen);
  }
  await assert.rejects(start(first), { code: "WIRING_INVALID", message: /no column "price"/ });
  const second = capture("renamed", {
    url,
    tables: [
      captured("renamed", {
        columns: { id: "number", price: "text", cost: "text" },
        mayBeAbsent: ["price", "cost"],
        stream: Changes,
        map: (change) =>
          "row" in change
            ? {
                kind: change.kind,
                row: { id: change.row.id, cost: change.row.cost ?? change.row.price },
              }
            : undefined,
      }),
    ],
  });
  await using run = await start(second);
  await until(
    "the rest came",
    () => run.seen.length >= 2,
    () => run.seen,
  );
  assert.deepEqual(
    run.seen.map(({ row }) => row),
    [
      { id: 2, cost: "two" },
      { id: 3, cost: "three" },
    ],
  );
});

test("a map that throws and a payload that its contract refuses halt it, after all before was published", async () => {
  await using old = await program();
  await old.query("create table thrown (id int primary key, text text)");
  await using run = await start(
    capture("thrown", {
      url,
      snapshot: "never",
      tables: [
        captured("thrown", {
          columns: { id: "number" },
          stream: Changes,
          map: (change) => {
            if ("row" in change && change.row.id === 3) throw new RangeError("planned");
            return { ...change };
          },
        }),
      ],
    }),
  );
  await until("it captures", async () => (await run.state()) === "capturing");
  await old.query("insert into thrown select generate_series(1, 5)");
  await until("it halts", async () => (await run.state()) === "halted");
  await until("all before came", () => run.seen.length === 2);
  assert.match((await run.bus.health()).reasons.join(), /captured\("thrown"\) threw: planned/);
});

test("one of several processes captures; when it ends another takes over, and nothing is lost", async () => {
  await using old = await program();
  await old.query("create table shared (id int primary key, text text)");
  const made = capture("shared", { url, tables: [whole("shared")] });
  const one = await start(made);
  await until("it captures", async () => (await one.state()) === "capturing");
  await using other = await start(made);
  await until("it stands by", async () => (await other.state()) === "standby");
  assert.equal((await other.bus.health()).status, "up");
  await old.query("insert into shared select generate_series(1, 50)");
  await until("all came", () => one.seen.length === 50);
  const closing = one.bus.close();
  await old.query("insert into shared select generate_series(51, 100)");
  await closing;
  await until("it takes over", async () => (await other.state()) === "capturing");
  await until("the rest came", () => {
    return new Set([...one.seen, ...other.seen].map(({ row }) => row?.["id"])).size === 100;
  });
});

test("many processes that begin at once make one snapshot", async () => {
  await using old = await program();
  await old.query("create table together (id int primary key, text text)");
  await old.query("insert into together select generate_series(1, 500)");
  const made = capture("together", { url, tables: [whole("together")] });
  const runs = await Promise.all(Array.from({ length: 4 }, () => start(made)));
  try {
    const states = async (): Promise<string[]> => Promise.all(runs.map((run) => run.state()));
    await until(
      "all know their part",
      async () =>
        (await states()).every((state) => ["standby", "capturing"].includes(state)) &&
        (await states()).includes("capturing"),
    );
    await until("all came", () => runs.reduce((sum, { seen }) => sum + seen.length, 0) >= 500);
    assert.deepEqual(
      runs.map(({ seen }) => seen.length).toSorted((one, other) => one - other),
      [0, 0, 0, 500],
    );
  } finally {
    await Promise.all(runs.map((run) => run.bus.close()));
  }
});

test("a quiet table does not hold back the log of a busy database", async () => {
  await using old = await program();
  await old.query(
    "create table quiet (id int primary key, text text); create table busy (text text)",
  );
  await using run = await start(
    capture("quiet", { url, slot: "quiet", tables: [whole("quiet")], snapshot: "never" }),
  );
  await until("it captures", async () => (await run.state()) === "capturing");
  for (let round = 0; round < 20; round += 1)
    await old.query("insert into busy select repeat('x', 1000) from generate_series(1, 500)");
  const { rows } = await old.query<{ lsn: string }>("select pg_current_wal_lsn() as lsn");
  const behind = `select pg_wal_lsn_diff('${rows[0]?.lsn}', confirmed_flush_lsn) as behind from pg_replication_slots where slot_name = 'quiet'`;
  await until(
    "the slot follows",
    async () => Number((await server.query(behind))[0]?.["behind"]) <= 0,
  );
  assert.equal(run.seen.length, 0);
});

test("the partitions of a table are published as that table", async () => {
  await using old = await program();
  await old.query(
    "create table parted (id int, text text, primary key (id)) partition by range (id); create table parted_1 partition of parted for values from (0) to (100); create table parted_2 partition of parted for values from (100) to (200)",
  );
  await old.query("insert into parted values (1, 'one'), (101, 'two')");
  await using run = await start(capture("parted", { url, tables: [whole("parted")] }));
  await until("it captures", async () => (await run.state()) === "capturing");
  await old.query("insert into parted values (2, 'three')");
  await until(
    "all came",
    () => run.seen.length === 3,
    () => run.seen,
  );
  assert.deepEqual(
    run.seen.map(({ row }) => row?.["text"]),
    ["one", "two", "three"],
  );
});

async function program() {
  const client = await server.client();
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() });
}
