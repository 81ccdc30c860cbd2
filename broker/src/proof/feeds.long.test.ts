import assert from "node:assert/strict";
import { test } from "node:test";
import { startFeedReader, startFeedServer } from "./feed-server.test.support.ts";
import { folder, open, until } from "../fixture.test.support.ts";
import { heard } from "../worker.test.support.ts";

const skip = process.platform === "win32" ? "there is no SIGSTOP" : false;

test(
  "a caller that is suspended until the broker has taken it for dead goes on when it wakes, though its reply queue was removed",
  { skip },
  async (context) => {
    const directory = folder(context);
    const transport = await open(context, directory);
    const server = startFeedServer(directory);
    context.after(() => server.kill("SIGKILL"));
    assert.equal(await heard(server), "ready");
    const caller = startFeedReader(directory, 1_000);
    context.after(() => caller.kill("SIGKILL"));
    assert.equal(await heard(caller), "ready");
    const items: unknown[] = [];
    caller.on("message", (item) => items.push(item));
    await until("some items", () => items.length > 20);
    const queues = async (): Promise<number> => {
      const states = await transport.inspection.addresses();
      return states.filter(({ address }) => /^replies[.].*(?<!-serving)$/.test(address)).length;
    };
    assert.equal(await queues(), 1);
    caller.send("suspend");
    await until("its reply queue is removed", async () => (await queues()) === 0, 40_000);
    const had = items.length;
    caller.kill("SIGCONT");
    await until("later items", () => items.length > had + 20, 20_000);
    assert.deepEqual(
      items,
      items.map((_, index) => index),
    );
  },
);
