import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type TransportFactory, WaybillError } from "@waybill/core";
import { BusStage } from "./bus/stage.ts";
import { Flow } from "./chaos/flow.ts";
import { type LineFault, lineFaults } from "./chaos/line-faults.ts";
import { TcpFaultProxy, type TcpTarget } from "./faults/tcp-proxy.ts";
import type { SuiteSubject } from "./suite/stage.ts";

export interface ChaosSubject extends SuiteSubject {
  /** Where the server listens. */
  readonly target: TcpTarget;
  /** The transport by way of that port of 127.0.0.1, with settings by which it notices a dead line within 3 seconds. */
  readonly through: (port: number) => TransportFactory;
}

export interface ChaosSuiteOptions {
  /** A new corner of a server for each case. */
  readonly create: () => ChaosSubject | Promise<ChaosSubject>;
  /** Faults that this transport cannot bear, by id, each with the reason. */
  readonly skip?: Readonly<Record<string, string>>;
}

const recoveryMsMax = 10_000;
/** What was confirmed has to come; when is for `recovered` to judge. */
const drainMsMax = 60_000;
const rateShareMin = 0.9;
const closeDeadlineMs = 1_000;
/** The deadline is that of the handlers; then the connection is left, on a dead line without an answer, on a machine that may be busy. */
const closeGraceMs = 2_000;

/**
 * Proves what a line that fails does to an application on a real server: nothing that was confirmed is lost, duplicates come only where a
 * confirmation or an acknowledgement was lost, within 10 seconds and without a restart it flows at 90 % of its former rate at least, and
 * `close()` ends by its deadline in the middle of it, and with it every `send` that waits.
 *
 * @example
 * chaosSuite("nats", { create: () => ({ ...subject(), target: { port: 4222 }, through: (port) => nats({ url: `nats://127.0.0.1:${port}` }) }) });
 */
export function chaosSuite(name: string, { create, skip = {} }: ChaosSuiteOptions): void {
  assertKnown(skip);
  describe(`${name}: a bad line`, () => {
    for (const fault of lineFaults) {
      const options = skip[fault.id] === undefined ? {} : { skip: skip[fault.id] };
      test(
        `chaos.${fault.id}: ${fault.what}; nothing that was confirmed is lost, and within 10 seconds all goes on by itself`,
        options,
        async (context) => {
          const tookMs = await recovers(await create(), fault);
          context.diagnostic(`${name} ${fault.id}: flows again after ${Math.round(tookMs)} ms`);
        },
      );
      test(
        `chaos.${fault.id}.close: ${fault.what}; close() ends by its deadline`,
        options,
        async () => {
          await closes(await create(), fault);
        },
      );
    }
  });
}

async function recovers(subject: ChaosSubject, fault: LineFault): Promise<number> {
  await using proxy = await TcpFaultProxy.listen(subject.target);
  await using stage = disposable(new BusStage(subject));
  const { application } = stage;
  using flow = new Flow(application);
  const bus = await flow.begin(subject.through(proxy.port));
  const former = await flow.steady(drainMsMax);
  fault.inflict(proxy);
  await application.stage.pass(fault.lastsMs);
  proxy.heal();
  const tookMs = await flow.recovered(former * rateShareMin, recoveryMsMax);
  await flow.end(drainMsMax);
  if (!fault.repeats) assert.deepEqual(flow.repeated, []);
  assert.deepEqual(await bus.deadLetters.list(), []);
  return tookMs;
}

async function closes(subject: ChaosSubject, fault: LineFault): Promise<void> {
  await using proxy = await TcpFaultProxy.listen(subject.target);
  await using stage = disposable(new BusStage(subject));
  const { application } = stage;
  using flow = new Flow(application);
  const bus = await flow.begin(subject.through(proxy.port));
  fault.inflict(proxy);
  await application.stage.pass(100);
  const from = flow.offeredMs;
  await bus.close({ deadlineMs: closeDeadlineMs }).catch((error: unknown) => {
    assert.ok(error instanceof WaybillError && error.code === "SHUTDOWN_INCOMPLETE", String(error));
  });
  const tookMs = flow.offeredMs - from;
  await flow.stop(closeGraceMs);
  assert.ok(tookMs < closeDeadlineMs + closeGraceMs, `close() took ${tookMs} ms`);
}

function disposable(application: BusStage): AsyncDisposable & { readonly application: BusStage } {
  return { application, [Symbol.asyncDispose]: () => application.close() };
}

function assertKnown(skip: Readonly<Record<string, string>>): void {
  const unknown = Object.keys(skip).filter((id) => !lineFaults.some((fault) => fault.id === id));
  if (unknown.length > 0)
    throw new RangeError(`chaosSuite skips ${unknown.join(", ")}, and there is no such fault.`);
}
