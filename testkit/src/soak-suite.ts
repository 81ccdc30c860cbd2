import assert from "node:assert/strict";
import { test } from "node:test";
import { assertFlat, soak } from "./chaos/flat.ts";
import { ServerProcess, type ServerSpec } from "./chaos/server-process.ts";
import type { SoakSample } from "./chaos/soak-worker.ts";

export interface SoakSuiteOptions {
  /** A server of the suite's own. */
  readonly server: ServerSpec;
  readonly url: string;
  /** A script that calls `soakWorker`. */
  readonly worker: string;
  /** How long it lasts; figures from two thirds of it. */
  readonly minutes: number;
}

/**
 * Proves that a process under half of the load that it could bear holds no more after a while than before: the heap stays flat under load, and
 * at rest there are as few sockets and timers as before the load.
 */
export function soakSuite(name: string, { server, url, worker, minutes }: SoakSuiteOptions): void {
  test(`${name}: ${minutes.toFixed(2)} minutes at half of the maximum rate: heap and handles stay flat`, async (context) => {
    await using _ = await ServerProcess.start(server);
    const soaked = await soak<SoakSample>(worker, [url, String(minutes * 60_000)]);
    assertFlat(soaked, context);
    assert.ok(soaked.last.handled > soaked.first.handled, "nothing was handled");
  });
}
