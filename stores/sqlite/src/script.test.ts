import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { subject } from "./subject.fixture.ts";

test("a script that waits for another process's lock lives until it has written", async () => {
  const made = subject();
  const script = fork(join(import.meta.dirname, "script.fixture.ts"), [made.file]);
  const ended = once(script, "exit");
  await once(script, "message");
  made.db.exec("begin immediate");
  script.send("locked");
  await once(script, "disconnect");
  await sleep(500);
  made.db.exec("commit");
  assert.deepEqual(await ended, [0, null]);
  assert.deepEqual(await made.written(), ["written"]);
  await made.close();
});
