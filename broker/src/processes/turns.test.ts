import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { fakeEnvironment } from "@waybill/testkit";
import { folder } from "../fixture.test.support.ts";
import { Turns } from "./turns.ts";

test("who has waited for long is seen by the others, until it had its turn or a second has passed", async (context) => {
  const file = join(folder(context), "waybill.db");
  const environment = fakeEnvironment();
  const [waiting, writing] = [new Turns(file, environment), new Turns(file, environment)];
  assert.equal(writing.asking(), 0);
  waiting.ask();
  assert.equal(writing.asking(), 1);
  assert.equal(waiting.asking(), 0, "nobody waits for itself");
  waiting.had();
  assert.equal(writing.asking(), 0);
  waiting.ask();
  await environment.advance(1_500);
  assert.equal(writing.asking(), 0, "it died while it waited");
  waiting.close();
  writing.close();
});
