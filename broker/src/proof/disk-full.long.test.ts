import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, after, test } from "node:test";
import type { Transport } from "@waybill/core";
import { open, probe, toQueue, topology, until } from "../fixture.test.support.ts";

/** Times that the disk is filled. The full size is 20. */
const rounds = Number(process.env["WAYBILL_DISK_FULL"] ?? 3);
const mebibyte = 1024 * 1024;
const diskBytes = 80 * mebibyte;
/** Taken by others, and given back when all is full: as much as the log may want to move into the file. */
const ballastBytes = 32 * mebibyte;
const source = { kind: "queue", name: "orders" } as const;
const body = "x".repeat(20_000);

const disks: { readonly directory: string; readonly isMounted: boolean }[] = [];
// When all is closed: a disk in use stays mounted.
after(() => {
  for (const { directory, isMounted } of disks) {
    if (isMounted) spawnSync("umount", [directory]);
    rmSync(directory, { recursive: true, force: true });
  }
});

/** A small disk of its own; undefined where that is not allowed. */
function smallDisk(context: TestContext): string | undefined {
  const directory = mkdtempSync(join(tmpdir(), "waybill-disk-"));
  const options = ["-t", "tmpfs", "-o", `size=${diskBytes}`, "tmpfs", directory];
  const isMounted = spawnSync("mount", options).status === 0;
  disks.push({ directory, isMounted });
  if (!isMounted) {
    context.skip("mounting a small disk needs root on Linux");
    return undefined;
  }
  return directory;
}

async function sendUntilRefused(transport: Transport): Promise<number> {
  for (let stored = 0; ; stored++) {
    try {
      await transport.send([toQueue("orders", body)]);
    } catch (error) {
      const { code, retryable } = error as { code?: string; retryable?: boolean };
      assert.deepEqual(
        { code, retryable },
        { code: "STORAGE_FULL", retryable: true },
        String(error),
      );
      return stored;
    }
  }
}

/** Handles until nothing is left; answers how many were settled. */
async function settleAll(
  transport: Transport,
  expected: number,
  onFault: () => void = () => {},
): Promise<number> {
  let settled = 0;
  const { receiver, faults } = probe(transport, source, {
    lockMs: 1_500,
    onDelivery: (delivery) => {
      void delivery
        .settle({ kind: "complete" })
        .then((answer) => (settled += answer === "settled" ? 1 : 0));
    },
  });
  await until("a fault, or the end", () => faults.length > 0 || settled >= expected, 60_000);
  onFault();
  await until("everything to be settled", () => settled >= expected, 60_000);
  await receiver.stop();
  return settled;
}

test(`a quota below the size of the disk × ${rounds}: sending is refused, all accepted work settles, sending works again`, async (context) => {
  const directory = smallDisk(context);
  if (directory === undefined) return;
  const transport = await open(context, join(directory, "data"), { quotaBytes: 8 * mebibyte });
  await transport.declare(topology({ queues: [{ name: "orders" }] }));
  for (let round = 0; round < rounds; round++) {
    const stored = await sendUntilRefused(transport);
    assert.ok(stored > 100, `${stored} were stored`);
    assert.equal(await settleAll(transport, stored), stored);
  }
});

test(`a disk that is full to the last byte × ${rounds}: sending is refused, and when there is room again accepted work settles and sending works, without anybody's help`, async (context) => {
  const directory = smallDisk(context);
  if (directory === undefined) return;
  const ballast = join(directory, "ballast");
  for (let round = 0; round < rounds; round++) {
    const data = join(directory, String(round));
    const transport = await open(context, data);
    await transport.declare(topology({ queues: [{ name: "orders" }] }));
    writeFileSync(ballast, Buffer.alloc(ballastBytes));
    let stored = 0;
    for (; stored < 200; stored++) await transport.send([toQueue("orders", body)]);
    fill(ballast);
    stored += await sendUntilRefused(transport);
    const free = (): void => rmSync(ballast, { force: true });
    // In turns: the room comes back before anything is handled, or when claiming or settling has failed.
    if (round % 2 === 0) free();
    assert.equal(await settleAll(transport, stored, free), stored);
    await transport.send([toQueue("orders", body)]);
    assert.equal(await settleAll(transport, 1), 1);
    await transport[Symbol.asyncDispose]();
    rmSync(data, { recursive: true });
  }
});

/** Takes all the room that is left. */
function fill(file: string): void {
  try {
    for (let part = 0; ; part++)
      writeFileSync(file, Buffer.alloc(part === 0 ? mebibyte : 4_096), { flag: "a" });
  } catch (error) {
    assert.equal((error as { code?: string }).code, "ENOSPC");
  }
}
