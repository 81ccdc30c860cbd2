import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, describe, test } from "node:test";
import { type TransportFactory, systemEnvironment } from "@waybill/core";
import { BusStage } from "./bus/stage.ts";
import { Flow } from "./chaos/flow.ts";
import { type Tally, readLedgers } from "./chaos/ledger.ts";
import { ProcessRig } from "./chaos/rig.ts";
import { crashLockMs } from "./chaos/worker.ts";
import { ServerProcess, type ServerSpec } from "./chaos/server-process.ts";
import { reallyWait } from "./environment.ts";
import { seededRandom } from "./random.ts";

export interface CrashSuiteOptions {
  /** A server of the suite's own, on a port of its own. */
  readonly server: ServerSpec;
  readonly url: string;
  readonly transportAt: (url: string) => TransportFactory;
  /** A script that calls `crashWorker`. */
  readonly worker: string;
  /** How often each thing happens. */
  readonly rounds: number;
  /** How the server ends, in turn. Default: killed, then asked to stop. */
  readonly endings?: readonly ("SIGKILL" | "SIGTERM")[];
  /** Default 1. */
  readonly seed?: number;
  /** Why it cannot run here: its program is not installed. */
  readonly skip?: string;
}

const recoveryMsMax = 10_000;
const rateShareMin = 0.9;
const drainMsMax = 60_000;
const strikeMsMax = 500;
const logLinesShown = 20;
const settlingMs = 1_000;

/**
 * Proves what dying means on a server of its own: the server ends under load and comes back, its clients go on by themselves within 10
 * seconds at 90 % of their former rate at least, and nothing that was confirmed is lost; processes of the application that get SIGTERM
 * under load end with 0 and repeat nothing; those that are killed lose nothing.
 */
export function crashSuite(name: string, options: CrashSuiteOptions): void {
  const skipped = options.skip === undefined ? {} : { skip: options.skip };
  const { rounds } = options;
  describe(`${name}: crashes`, () => {
    test(
      `crash.server: the server ends × ${rounds} under load; it flows again by itself, nothing is lost`,
      skipped,
      (context) => restarts(options, context),
    );
    test(
      `crash.sigterm: processes get SIGTERM × ${rounds} under load; nothing is lost, nothing repeated`,
      skipped,
      async (context) => {
        const { handled } = await strikes("SIGTERM", options, context);
        assert.deepEqual(
          [...handled].filter(([, times]) => times > 1),
          [],
        );
      },
    );
    test(
      `crash.sigkill: processes are killed × ${rounds} under load; nothing is lost`,
      skipped,
      async (context) => {
        await strikes("SIGKILL", options, context);
      },
    );
  });
}

async function restarts(
  { server: spec, url, transportAt, rounds, endings = ["SIGKILL", "SIGTERM"] }: CrashSuiteOptions,
  context: TestContext,
): Promise<void> {
  await using server = await ServerProcess.start(spec);
  const factory = transportAt(url);
  const application = new BusStage({ factory, dispose: () => Promise.resolve() });
  using flow = new Flow(application);
  const took: number[] = [];
  try {
    const bus = await flow.begin();
    const former = await flow.steady(drainMsMax);
    for (let round = 0; round < rounds; round++) {
      await server.restart(endings[round % endings.length] ?? "SIGTERM");
      took.push(await flow.recovered(former * rateShareMin, recoveryMsMax));
    }
    // What a dead server had handed out comes again when its lock has run out; that it comes at all is what counts here.
    const drainedMs = await flow.end(drainMsMax);
    context.diagnostic(
      `${flow.confirmed} confirmed, 0 lost, ${flow.repeated.length} repeated; flows again ${told(took)} after the server does, at ${Math.round(former)}/s; the last came ${Math.round(drainedMs)} ms after the end`,
    );
    assert.deepEqual(await bus.deadLetters.list(), []);
  } catch (error) {
    for (const line of application.log.slice(-logLinesShown)) context.diagnostic(line);
    throw error;
  } finally {
    await application.close();
  }
}

function told(took: readonly number[]): string {
  const sorted = took.toSorted((one, other) => one - other);
  const at = (share: number): number =>
    Math.round(sorted[Math.floor(share * (sorted.length - 1))] ?? 0);
  return `${at(0.5)} ms (at most ${at(1)} ms)`;
}

async function strikes(
  signal: "SIGTERM" | "SIGKILL",
  { server: spec, url, worker, rounds, seed = 1 }: CrashSuiteOptions,
  context: TestContext,
): Promise<Tally> {
  const random = seededRandom(seed);
  const ledgers = await mkdtemp(join(tmpdir(), "waybill-crash-"));
  await using server = await ServerProcess.start(spec);
  await using rig = new ProcessRig();
  try {
    const args = [url, ledgers];
    for (const role of ["consumer", "consumer", "producer"])
      await rig.start({ role, script: worker, args: [role, ...args] });
    for (let round = 0; round < rounds; round++) {
      await reallyWait(random() * strikeMsMax);
      const code = await rig.replace(Math.floor(random() * rig.size), signal);
      if (signal === "SIGTERM")
        assert.equal(code, 0, "a process that was asked to end ended badly");
    }
    assert.deepEqual(await rig.stop("producer", "SIGTERM"), [0], "the producer ended badly");
    await drained(ledgers);
    // What was handled and not acknowledged comes again when its lock has run out.
    await reallyWait(crashLockMs + settlingMs);
    const tally = readLedgers(ledgers);
    assert.ok(
      tally.accepted.size > rounds,
      "next to nothing was confirmed, so nothing could be lost",
    );
    const repeated = [...tally.handled.values()].filter((times) => times > 1).length;
    context.diagnostic(
      `${signal} × ${rounds}: ${tally.accepted.size} confirmed, 0 lost, ${repeated} handled more than once`,
    );
    void server;
    return tally;
  } finally {
    await rig[Symbol.asyncDispose]();
    await rm(ledgers, { recursive: true, force: true });
  }
}

/** Waits until everything that was accepted has been handled. */
async function drained(ledgers: string): Promise<void> {
  const { clock } = systemEnvironment;
  const end = clock.monotonic() + drainMsMax;
  for (;;) {
    const tally = readLedgers(ledgers);
    const missing = [...tally.accepted].filter((id) => !tally.handled.has(id));
    if (missing.length === 0) return;
    if (clock.monotonic() > end)
      throw new Error(`${missing.length} of ${tally.accepted.size} confirmed messages are missing`);
    await reallyWait(100);
  }
}
