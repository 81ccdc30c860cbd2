import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { systemEnvironment } from "@waybill/core";
import { fakeEnvironment } from "@waybill/testkit";
import { folder } from "../fixture.test.support.ts";
import { settingsOf } from "../options.ts";
import { Checkpoints } from "./checkpoints.ts";
import { openDatabase } from "./database.ts";
import { pragma } from "./pragma.ts";
import { prepareStatements } from "./statements.ts";

const mebibyte = 1024 * 1024;

test("the log begins anew at 16 MiB though another process adds to it during each checkpoint, and not before", async (context) => {
  const { file, db } = await openDatabase(
    settingsOf({ directory: folder(context) }),
    systemEnvironment,
  );
  context.after(() => db.close());
  const rival = new DatabaseSync(file);
  context.after(() => rival.close());
  rival.exec("pragma wal_autocheckpoint = 0; pragma synchronous = off");
  const reader = new DatabaseSync(file);
  context.after(() => reader.close());
  const environment = fakeEnvironment();
  const pageBytes = Number(pragma(db, "page_size"));
  const checkpoints = new Checkpoints(file, pageBytes, { sql: prepareStatements(db), environment });
  context.after(() => checkpoints.close());
  let seq = 0;
  const write = (by: DatabaseSync): void =>
    void by
      .prepare("insert into message values (?, 1, 0, 0, '{}', zeroblob(?), null)")
      .run(++seq, mebibyte);
  const frames = (): number => {
    const { log } = rival.prepare("pragma wal_checkpoint(noop)").get() as { log: number };
    return log;
  };
  let most = 0;
  for (let round = 0; round < 100; round++) {
    write(db);
    checkpoints.end();
    // What comes behind the mark of a reader stays in the log, as does what others add while a checkpoint runs.
    reader.exec("begin; select 1 from message limit 1");
    write(rival);
    checkpoints.begin();
    reader.exec("commit");
    await environment.advance(20);
    most = Math.max(most, frames());
  }
  assert.ok(most * pageBytes > 16 * mebibyte, `never ${most} frames long`);
  assert.ok(most * pageBytes < 24 * mebibyte, `${most} frames`);
});
