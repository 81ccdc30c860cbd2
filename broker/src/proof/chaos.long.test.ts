import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type LedgerEntry,
  type Transport,
  consoleLogger,
  equationOf,
  systemEnvironment,
} from "@waybill/core";
import { ProcessRig, type Tally, overtakers, readLedgers, seededRandom } from "@waybill/testkit";
import { embedded } from "../index.ts";

const script = join(import.meta.dirname, "chaos.fixture.ts");
const seed = Number(process.env["WAYBILL_SEED"] ?? 20261120);
/** The full size is 200. */
const kills = Number(process.env["WAYBILL_KILLS"] ?? 60);
/** The full size is 20. */
const stops = Number(process.env["WAYBILL_STOPS"] ?? 10);
/** Each of a consumer loses what it had acknowledged and not yet handled. */
const killsToNotice = 20;
/** What waits and does not become less for so long is stuck. */
const patienceMs = 60_000;

test(`${kills} × kill -9 of producers, consumers and processes that are both, under load: nothing lost, nothing stuck`, async (context) => {
  await using chaos = await Chaos.begin(context, {
    producers: 1,
    consumers: 2,
    both: 1,
    consumer: "consumer",
  });
  for (let kill = 0; kill < kills; kill++) await chaos.strike("SIGKILL", 120);
  const { lost, waiting, dead, tally, ledger } = await chaos.conclude();
  context.diagnostic(
    `${tally.accepted.size} accepted, ${tally.byKey.size} keys, ${repeated(tally)} handled more than once, ${dead} dead letters`,
  );
  assert.ok(tally.accepted.size > kills * 10, "the load was too small to prove anything");
  assert.equal(lost, 0);
  assert.equal(waiting, 0);
  assertInOrder(tally);
  assertBooked(ledger, tally);
  for (const entry of ledger) context.diagnostic(`${entry.address}: ${equationOf(entry)}`);
});

test(`SIGTERM × ${stops} under load: nothing lost, nothing handled twice`, async (context) => {
  await using chaos = await Chaos.begin(context, {
    producers: 1,
    consumers: 2,
    consumer: "consumer",
  });
  for (let stop = 0; stop < stops; stop++) {
    const code = await chaos.strike("SIGTERM", 150);
    assert.equal(code, 0, "a process that was asked to stop did not end cleanly");
  }
  const { lost, waiting, tally, ledger } = await chaos.conclude();
  assert.equal(lost, 0);
  assert.equal(waiting, 0);
  assertInOrder(tally);
  assertBooked(ledger, tally);
  assert.equal(repeated(tally), 0);
});

test("the planted bug, acknowledging before handling, is caught", async (context) => {
  await using chaos = await Chaos.begin(context, {
    producers: 1,
    consumers: 2,
    consumer: "hasty-consumer",
  });
  // Long enough between two kills that whoever was started anew has work in hand.
  for (let kill = 0; kill < killsToNotice; kill++) await chaos.strike("SIGKILL", 500);
  const { lost } = await chaos.conclude();
  assert.ok(
    lost > 0,
    "messages were acknowledged before they were handled, and the ledger did not notice",
  );
});

interface Verdict {
  readonly tally: Tally;
  /** Confirmed to a producer, and neither handled nor waiting nor among the dead letters. */
  readonly lost: number;
  readonly waiting: number;
  readonly dead: number;
  readonly ledger: readonly LedgerEntry[];
}

class Chaos implements AsyncDisposable {
  readonly #directory: string;
  readonly #rig = new ProcessRig();
  readonly #random: () => number;

  private constructor(directory: string) {
    this.#directory = directory;
    this.#random = seededRandom(seed);
  }

  static async begin(
    context: TestContext,
    crew: { producers: number; consumers: number; both?: number; consumer: string },
  ): Promise<Chaos> {
    context.diagnostic(`seed ${seed}`);
    const chaos = new Chaos(await mkdtemp(join(tmpdir(), "waybill-chaos-")));
    for (let each = 0; each < crew.producers; each++) await chaos.#start("producer");
    for (let each = 0; each < (crew.both ?? 0); each++) await chaos.#start("both");
    for (let each = 0; each < crew.consumers; each++) await chaos.#start(crew.consumer);
    return chaos;
  }

  /** Waits up to `withinMs`, then ends one of the processes and starts another in its place. */
  async strike(signal: "SIGKILL" | "SIGTERM", withinMs: number): Promise<number | null> {
    await sleep(this.#random() * withinMs);
    return this.#rig.replace(Math.floor(this.#random() * this.#rig.size), signal);
  }

  /** Stops the load, lets the consumers finish, and counts. */
  async conclude(): Promise<Verdict> {
    await this.#rig.stop("producer", "SIGTERM");
    await this.#rig.stop("both", "SIGTERM");
    const transport = await embedded({ directory: join(this.#directory, "data") }).open({
      environment: systemEnvironment,
      logger: consoleLogger,
      instance: "observer",
      unrouted: () => {},
    });
    const { waiting, dead } = await untilDrained(transport);
    const tally = readLedgers(join(this.#directory, "ledgers"));
    const aside = await deadIds(transport);
    const ledger = await transport.inspection.ledger();
    await transport[Symbol.asyncDispose]();
    const missing = [...tally.accepted].filter((id) => !tally.handled.has(id) && !aside.has(id));
    const lost = Math.max(0, missing.length - waiting);
    return { tally, lost, waiting, dead, ledger };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rig[Symbol.asyncDispose]();
    await rm(this.#directory, { recursive: true, force: true });
  }

  #start(role: string): Promise<void> {
    return this.#rig.start({
      role,
      script,
      args: [role, join(this.#directory, "data"), join(this.#directory, "ledgers")],
    });
  }
}

/** Waits until nothing is ready, locked or scheduled, or until what is has not become less for `patienceMs`: then it is stuck. */
async function untilDrained(transport: Transport): Promise<{ waiting: number; dead: number }> {
  let least = Number.POSITIVE_INFINITY;
  let leastAt = performance.now();
  for (;;) {
    const states = await transport.inspection.addresses();
    const waiting = states.reduce(
      (sum, { ready, inFlight = 0, scheduled = 0 }) => sum + ready + inFlight + scheduled,
      0,
    );
    const dead = states.reduce((sum, state) => sum + state.dead, 0);
    if (waiting === 0) return { waiting, dead };
    if (waiting < least) {
      least = waiting;
      leastAt = performance.now();
    } else if (performance.now() - leastAt > patienceMs) return { waiting, dead };
    await sleep(100);
  }
}

async function deadIds(transport: Transport): Promise<ReadonlySet<string>> {
  const ids = new Set<string>();
  let after: string | undefined;
  for (;;) {
    const page = await transport.inspection.list({
      state: "dead",
      limit: 1_000,
      ...(after !== undefined && { after }),
    });
    for (const { envelope } of page)
      ids.add((JSON.parse(String(envelope.body)) as { id: string }).id);
    after = page.at(-1)?.handle;
    if (after === undefined) return ids;
  }
}

/** The broker's own books balance, and have what the processes saw: a kill between a COMMIT and its line in a ledger leaves one more in the books. */
function assertBooked(ledger: readonly LedgerEntry[], { accepted, handled }: Tally): void {
  for (const { address, difference } of ledger)
    assert.equal(difference, 0, `the books of ${address} miss ${difference}`);
  const jobs = ledger.filter(({ address }) => address.startsWith("chaos."));
  const sum = (of: (entry: LedgerEntry) => number): number =>
    jobs.reduce((total, entry) => total + of(entry), 0);
  assert.ok(sum((entry) => entry.accepted) >= accepted.size, "the books miss what was accepted");
  assert.ok(sum((entry) => entry.completed) <= handled.size, "more was completed than handled");
}

function assertInOrder(tally: Tally): void {
  assert.ok(tally.byKey.size > 0, "nothing was handled by key");
  assert.deepEqual(overtakers(tally).slice(0, 10), [], "handled before what was sent before it");
}

function repeated({ handled }: Tally): number {
  return [...handled.values()].filter((times) => times > 1).length;
}
