import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type Transport, systemEnvironment } from "@waybill/core";
import { seededRandom } from "@waybill/testkit";
import { folder, open, probe, silent, toQueue, topology, until } from "../fixture.test.support.ts";
import { embedded } from "../index.ts";

/** Damaged files. The full size is 300. */
const files = Number(process.env["WAYBILL_DAMAGED_FILES"] ?? 60);
const seed = Number(process.env["WAYBILL_SEED"] ?? 20261120);
const messages = 150;
const source = { kind: "queue", name: "orders" } as const;
const states = ["ready", "inFlight", "scheduled", "deferred", "dead"] as const;

test(`${files} flipped and truncated files: refused by name and left untouched, or every message is there as it was`, async (context) => {
  const pristine = await pristineFile(context);
  const random = seededRandom(seed);
  const directory = folder(context);
  const outcomes = { refusedOnOpening: 0, refusedOnReading: 0, intact: 0 };
  for (let index = 0; index < files; index++) {
    const scene = join(directory, String(index));
    mkdirSync(scene);
    const what = damage(pristine, index, random);
    outcomes[await examine(scene, what)] += 1;
    rmSync(scene, { recursive: true });
  }
  context.diagnostic(`seed ${seed}: ${JSON.stringify(outcomes)}`);
  assert.ok(outcomes.refusedOnOpening > 0 && outcomes.intact > 0);
});

interface Damaged {
  readonly bytes: Buffer;
  readonly description: string;
}

/** Every fourth file is cut off; of the others some bits are turned. */
function damage(pristine: Buffer, index: number, random: () => number): Damaged {
  if (index % 4 === 3) {
    const length = 100 + Math.floor(random() * (pristine.length - 100));
    return { bytes: pristine.subarray(0, length), description: `cut off after ${length} bytes` };
  }
  const bytes = Buffer.from(pristine);
  const places = Array.from({ length: 1 + Math.floor(random() * 3) }, () =>
    Math.floor(random() * bytes.length),
  );
  for (const place of places) bytes[place] = (bytes[place] ?? 0) ^ (1 << Math.floor(random() * 8));
  return { bytes, description: `bits turned at ${places.join(", ")}` };
}

async function examine(
  directory: string,
  { bytes, description }: Damaged,
): Promise<"refusedOnOpening" | "refusedOnReading" | "intact"> {
  const file = join(directory, "waybill.db");
  writeFileSync(file, bytes);
  let transport: Transport;
  try {
    transport = await embedded({ directory }).open({
      environment: systemEnvironment,
      logger: silent,
      instance: "examiner",
      unrouted: () => {},
    });
  } catch (error) {
    assert.equal(
      (error as { code?: string }).code,
      "STORAGE_INVALID",
      `${description}: ${String(error)}`,
    );
    assert.ok(readFileSync(file).equals(bytes), `${description}: the file was changed`);
    return "refusedOnOpening";
  }
  try {
    await assertIntact(transport, description);
    return "intact";
  } catch (error) {
    assert.equal(
      (error as { code?: string }).code,
      "STORAGE_INVALID",
      `${description}: ${String(error)}`,
    );
    return "refusedOnReading";
  } finally {
    await transport[Symbol.asyncDispose]();
  }
}

/** Reads everything, then receives what is ready. Throws what the broker says of it. */
async function assertIntact(transport: Transport, description: string): Promise<void> {
  const seen = new Map<string, number>();
  for (const state of states) {
    const page = await transport.inspection.list({ state, limit: 1_000 });
    for (const { envelope } of page) seen.set(checked(envelope.body, description), page.length);
  }
  assert.equal(seen.size, messages, `${description}: messages are missing`);
  const { ready = 0 } = (await transport.inspection.addresses())[0] ?? {};
  const { deliveries, faults, receiver } = probe(transport, source, { prefetch: 1_000 });
  await until("what is ready", () => deliveries.length >= ready || faults.length > 0);
  if (faults[0] !== undefined) throw faults[0];
  for (const { envelope } of deliveries) checked(envelope.body, description);
  await receiver.stop();
}

function checked(body: string | Uint8Array, description: string): string {
  const [id = "", hash, payload = ""] = String(body).split(":");
  assert.equal(createHash("sha256").update(payload).digest("hex"), hash, `${description}: ${id}`);
  return id;
}

/** A file with messages in every state, as a process leaves it that ends. */
async function pristineFile(context: TestContext): Promise<Buffer> {
  const directory = folder(context);
  const transport = await open(context, directory);
  await transport.declare(topology({ queues: [{ name: "orders" }] }));
  const random = seededRandom(seed);
  const failure = { ...base, message: "no" };
  const { receiver, deliveries } = probe(transport, source, { prefetch: 20 });
  for (let index = 0; index < messages; index++) {
    const payload = `${random()} `.repeat(1 + Math.floor(random() ** 3 * 200));
    const hash = createHash("sha256").update(payload).digest("hex");
    const later = index % 5 === 4 ? { notBefore: systemEnvironment.clock.now() + 3_600_000 } : {};
    await transport.send([toQueue("orders", `${index}:${hash}:${payload}`, later)]);
  }
  await until("a prefetch of deliveries", () => deliveries.length === 20);
  for (const [index, delivery] of deliveries.slice(0, 16).entries())
    await delivery.settle(index % 2 === 0 ? { kind: "defer" } : { kind: "deadLetter", failure });
  await receiver.stop();
  await transport[Symbol.asyncDispose]();
  return readFileSync(join(directory, "waybill.db"));
}

const base = {
  reason: "HANDLER_FAILED",
  service: "s",
  handler: "h",
  attempts: 1,
  firstFailedAt: 1,
  lastFailedAt: 1,
} as const;
