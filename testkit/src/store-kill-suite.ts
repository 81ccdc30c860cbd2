import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import {
  type Transport,
  type TransportFactory,
  consoleLogger,
  systemEnvironment,
} from "@waybill/core";
import { type Tally, readLedgers } from "./chaos/ledger.ts";
import { ProcessRig } from "./chaos/rig.ts";
import { reallyWait } from "./environment.ts";
import { seededRandom } from "./random.ts";
import { type PlantedMistake, plantedMistakes } from "./store/kills/plants.ts";
import { type StoreKillVerdict, storeKillVerdict } from "./store/kills/verdict.ts";
import type { StoreSubject } from "./store/stage.ts";

export interface StoreKillSuiteOptions<Subject extends StoreSubject> {
  /** A database of its own for each test. */
  readonly create: () => Subject | Promise<Subject>;
  /** What the worker's `storeAt` gets to open the same database. */
  readonly placeOf: (subject: Subject) => string;
  readonly transportAt: (directory: string) => TransportFactory;
  /** A script that calls `storeKillWorker`. */
  readonly worker: string;
  readonly kills: number;
  /** Default 1. */
  readonly seed?: number;
  /** Which mistakes are planted. Default: all; they are the suite's own, so that one store that shows them is enough. */
  readonly mistakes?: readonly PlantedMistake[];
}

const crew = ["worker", "worker", "watcher", "producer", "producer"];
const strikeMsMax = 300;
/** For a mistake to be met: each kill meets what is in hand. */
const killsPerMistake = 12;
const patienceMs = 60_000;
/** What is lost by a mistake does not come, however long one waits: longer than a lock, a takeover and a retry together. */
const mistakePatienceMs = 10_000;
const lookMs = 250;
/** Acknowledgements and removals may still be on their way when all has been told. */
const restMs = 4_000;

/**
 * Proves "effectively once" by a book for each message: accepted, executed, its effect committed, published, settled. Producers, workers, what
 * sends their outboxes, and who listens are killed under load and come back, on one store and one broker; afterwards nothing is lost, doubled in
 * the database, told without having been committed, committed without having been told, or stuck. Four planted mistakes are each noticed.
 */
export function storeKillSuite<Subject extends StoreSubject>(
  name: string,
  options: StoreKillSuiteOptions<Subject>,
): void {
  const { kills, seed = 1, mistakes = plantedMistakes } = options;
  describe(`${name}: kills`, () => {
    test(`kills.none: ${kills} × kill -9 of producers, workers and listeners under load: nothing lost, doubled, made up, untold or stuck`, async (context) => {
      context.diagnostic(`seed ${seed}`);
      const { verdict, tally, rows, waiting, aside } = await killed(options, { kills, patienceMs });
      context.diagnostic(
        `${tally.accepted.size} accepted, ${rows.length} rows, ${tally.handled.size} told, ${repeated(tally)} of them more than once`,
      );
      assert.ok(tally.accepted.size > kills * 10, "the load was too small to prove anything");
      assert.equal(toldOf(verdict), "0 lost, 0 doubled, 0 ghosts, 0 zombies");
      assert.deepEqual({ waiting, aside }, { waiting: 0, aside: 0 });
    });
    for (const mistake of mistakes)
      test(`kills.planted: ${mistake}, is noticed`, async (context) => {
        const { verdict } = await killed(options, {
          kills: killsPerMistake,
          patienceMs: mistakePatienceMs,
          mistake,
        });
        context.diagnostic(toldOf(verdict));
        assert.ok(verdict[noticedAs[mistake]].length > 0, `${mistake} went unnoticed`);
      });
  });
}

const noticedAs: Readonly<Record<PlantedMistake, keyof StoreKillVerdict>> = {
  "no inbox": "doubled",
  "publish before commit": "ghosts",
  "acknowledge before commit": "lost",
  "forget before sending": "zombies",
};

interface Plan {
  readonly kills: number;
  readonly patienceMs: number;
  readonly mistake?: PlantedMistake;
}

interface Depth {
  /** What still waits: in the broker, or there and in the outbox. */
  readonly waiting: number;
  /** What was set aside. */
  readonly aside: number;
}

interface Outcome extends Depth {
  readonly verdict: StoreKillVerdict;
  readonly tally: Tally;
  readonly rows: readonly string[];
}

async function killed<Subject extends StoreSubject>(
  { create, placeOf, transportAt, worker, seed = 1 }: StoreKillSuiteOptions<Subject>,
  { kills, patienceMs: patience, mistake }: Plan,
): Promise<Outcome> {
  const random = seededRandom(seed);
  const directory = await mkdtemp(join(tmpdir(), "waybill-kills-"));
  const [data, ledgers] = [join(directory, "data"), join(directory, "ledgers")];
  const subject = await create();
  const rig = new ProcessRig();
  try {
    for (const role of crew) {
      const args = [role, data, placeOf(subject), ledgers, mistake ?? ""];
      await rig.start({ role, script: worker, args });
    }
    for (let kill = 0; kill < kills; kill++) {
      await reallyWait(random() * strikeMsMax);
      await rig.replace(Math.floor(random() * rig.size), "SIGKILL");
    }
    assert.deepEqual(await rig.stop("producer", "SIGTERM"), [0, 0], "a producer ended badly");
    await using broker = await observe(transportAt(data));
    await untilAtRest(subject, { broker, ledgers, patience });
    await reallyWait(restMs);
    assert.deepEqual(await rig.stop("worker", "SIGTERM"), [0, 0], "a worker ended badly");
    assert.deepEqual(await rig.stop("watcher", "SIGTERM"), [0], "the listener ended badly");
    const left = await leftIn(subject, broker);
    const tally = readLedgers(ledgers);
    const rows = await subject.written();
    return { verdict: storeKillVerdict(rows, tally), tally, rows, ...left };
  } finally {
    await rig[Symbol.asyncDispose]();
    await subject.close();
    await rm(directory, { recursive: true, force: true });
  }
}

const host = { environment: systemEnvironment, logger: consoleLogger };

function observe(factory: TransportFactory): Promise<Transport> {
  return factory.open({ ...host, instance: "observer", unrouted: () => undefined });
}

interface Observed {
  readonly broker: Transport;
  readonly ledgers: string;
  readonly patience: number;
}

/** Waits until all that was accepted is done, told and acknowledged, or until nothing has changed for `patience`. */
async function untilAtRest(
  subject: StoreSubject,
  { broker, ledgers, patience }: Observed,
): Promise<void> {
  const { clock } = systemEnvironment;
  let seen = "";
  let seenAt = clock.monotonic();
  for (;;) {
    const [rows, tally] = [await subject.written(), readLedgers(ledgers)];
    const { lost, zombies } = storeKillVerdict(rows, tally);
    const { waiting } = await depthOf(broker);
    if (lost.length === 0 && zombies.length === 0 && waiting === 0) return;
    const now = `${rows.length} ${tally.handled.size} ${waiting}`;
    if (now !== seen) [seen, seenAt] = [now, clock.monotonic()];
    else if (clock.monotonic() - seenAt > patience) return;
    await reallyWait(lookMs);
  }
}

async function leftIn(subject: StoreSubject, broker: Transport): Promise<Depth> {
  await using store = await subject.factory().open({ ...host, committed: () => undefined });
  const [outbox, depth] = [await store.outbox.state(), await depthOf(broker)];
  return { waiting: outbox.waiting + depth.waiting, aside: outbox.aside + depth.aside };
}

async function depthOf({ inspection }: Transport): Promise<Depth> {
  let [waiting, aside] = [0, 0];
  for (const { ready, inFlight = 0, scheduled = 0, dead } of await inspection.addresses()) {
    waiting += ready + inFlight + scheduled;
    aside += dead;
  }
  return { waiting, aside };
}

/** With the first of each: there may be thousands. */
function toldOf({ lost, doubled, ghosts, zombies }: StoreKillVerdict): string {
  return Object.entries({ lost, doubled, ghosts, zombies })
    .map(([what, [first, ...more]]) =>
      first === undefined ? `0 ${what}` : `${more.length + 1} ${what} (${first})`,
    )
    .join(", ");
}

function repeated({ handled }: Tally): number {
  return [...handled.values()].filter((times) => times > 1).length;
}
