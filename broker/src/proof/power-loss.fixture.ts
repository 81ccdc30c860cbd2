/**
 * The process whose power fails: `power-loss.fixture.ts <directory> <synchronous>`. It sends, and settles with sends, and
 * writes down in the file `acks` what was acknowledged to it, in the moment in which it was.
 */
import { createHash } from "node:crypto";
import { openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type Delivery, systemEnvironment } from "@waybill/core";
import { seededRandom } from "@waybill/testkit";
import { probe, silent, toQueue, topology, until } from "../fixture.test.support.ts";
import { embedded } from "../index.ts";

const [directory = "", synchronous = "full", seed = "1"] = process.argv.slice(2);
const batches = 260;
const checkpointEvery = 40;

const random = seededRandom(Number(seed));
const transport = await embedded({ directory, synchronous: synchronous as "full" }).open({
  environment: systemEnvironment,
  logger: silent,
  instance: "mortal",
  unrouted: () => {},
});
await transport.declare(topology({ queues: [{ name: "in" }, { name: "out" }] }));
const acks = openSync(join(directory, "acks"), "a");
const rival = new DatabaseSync(join(directory, "waybill.db"));
// As every process of the broker opens it: a checkpoint syncs what it moves.
rival.exec("pragma synchronous = normal");
let sent = 0;
let settled = 0;
probe(
  transport,
  { kind: "queue", name: "in" },
  {
    prefetch: 8,
    onDelivery: (delivery) => {
      const body = String(delivery.envelope.body);
      const id = body.split(":", 1)[0] ?? "";
      void settle(delivery, id);
    },
  },
);
async function settle(delivery: Delivery, id: string): Promise<void> {
  const { body } = delivery.envelope;
  const answer = await delivery.settle({ kind: "complete", send: [toQueue("out", String(body))] });
  settled += 1;
  if (answer === "settled") writeSync(acks, `s ${id}\n`);
}

for (let batch = 0; batch < batches; batch++) {
  const count = 1 + Math.floor(random() * 4);
  const messages = Array.from({ length: count }, (_, index) => {
    const payload = Buffer.from(`${random()} `.repeat(1 + Math.floor(random() ** 4 * 300)));
    const hash = createHash("sha256").update(payload).digest("hex");
    return { id: `${batch}-${index}`, body: `${batch}-${index}:${hash}:${payload.toString()}` };
  });
  await transport.send(messages.map(({ body }) => toQueue("in", body)));
  writeSync(acks, messages.map(({ id }) => `a ${id}\n`).join(""));
  sent += count;
  if (batch % checkpointEvery === checkpointEvery - 1) rival.exec("pragma wal_checkpoint(restart)");
}
await until("everything settled", () => settled === sent, 60_000);
rival.close();
await transport[Symbol.asyncDispose]();
