import assert from "node:assert/strict";
import { test } from "node:test";
import { folder, open, probe, toQueue, topology, until } from "../fixture.test.support.ts";
import { heard, startWorker } from "../worker.test.support.ts";

/** Times that a process is suspended for longer than its lock. The full size is 100. */
const rounds = Number(process.env["WAYBILL_SUSPENSIONS"] ?? 8);
const queue = "orders";
const source = { kind: "queue", name: queue } as const;
const skip = process.platform === "win32" ? "there is no SIGSTOP" : false;

test(
  `a process is suspended × ${rounds} for longer than its lock: it settles in vain, and what it sends is not sent`,
  { skip },
  async (context) => {
    const directory = folder(context);
    const transport = await open(context, directory);
    await transport.declare(topology({ queues: [{ name: queue }, { name: "sent" }] }));
    const worker = startWorker({
      directory,
      queue,
      role: "hold",
      lockMs: 300,
      count: 0,
      sendTo: "sent",
    });
    context.after(() => worker.kill("SIGKILL"));
    for (let round = 0; round < rounds; round++) {
      const holding = heard(worker);
      await transport.send([toQueue(queue, `contested ${round}`)]);
      assert.equal(await holding, "holding");
      worker.send("suspend");
      const rival = probe(transport, source, { lockMs: 30_000 });
      await until("the second delivery", () => rival.deliveries.length > 0, 60_000);
      assert.equal(rival.deliveries[0]?.attempt, 2);
      const answer = heard(worker);
      // In turns: it settles as the first thing it does, or after whatever timers rang meanwhile.
      if (round % 2 === 0) worker.send("settle");
      worker.kill("SIGCONT");
      if (round % 2 === 1) worker.send("settle");
      assert.equal(await answer, "lockLost", `round ${round}`);
      assert.equal(await rival.deliveries[0]?.settle({ kind: "complete" }), "settled");
      await rival.receiver.stop();
    }
    const states = await transport.inspection.addresses();
    for (const { address, ready, inFlight, scheduled, dead } of states)
      assert.deepEqual(
        { ready, inFlight, scheduled, dead },
        { ready: 0, inFlight: 0, scheduled: 0, dead: 0 },
        address,
      );
  },
);
