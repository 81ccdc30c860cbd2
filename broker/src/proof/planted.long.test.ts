import assert from "node:assert/strict";
import { test } from "node:test";
import type { PlantedBug } from "../planted/bug.fixture.ts";
import { plantedBugs } from "../planted/bugs.fixture.ts";
import { proofsFor, proofsOf, prove } from "../planted/proof.fixture.ts";
import { Workbench } from "../planted/workbench.fixture.ts";

const caughtMin = Math.ceil(0.9 * plantedBugs.length);
/** Two, so that one waits while the other works; more would make each other late. */
const benchCount = 2;
const soundMsMax = 240_000;
/** How much longer than without a bug a proof may say nothing before it counts as hanging, and how long at least. */
const patience = { times: 10, msMin: 20_000 };

test(`of ${plantedBugs.length} planted bugs at least ${caughtMin} are caught`, async (context) => {
  using stack = new DisposableStack();
  const benches = Array.from({ length: benchCount }, () => stack.use(new Workbench()));
  const hangsMs = await soundness(benches);
  const missed: string[] = [];
  await share(benches, plantedBugs, async (bench, bug) => {
    const began = performance.now();
    const caughtBy = await findBug(bench, bug, hangsMs);
    const seconds = ((performance.now() - began) / 1_000).toFixed(1);
    const words = caughtBy === undefined ? "MISSED" : `caught by ${caughtBy}`;
    context.diagnostic(`${words} in ${seconds} s: ${bug.name} (${bug.file})`);
    if (caughtBy === undefined) missed.push(bug.name);
  });
  assert.ok(plantedBugs.length - missed.length >= caughtMin, `not caught: ${missed.join("; ")}`);
});

/** Holds every proof against the sources without a bug. Answers by file how long each may say nothing when there is one. */
async function soundness(benches: readonly Workbench[]): Promise<ReadonlyMap<string, number>> {
  const proofs = ["core/", "broker/"].flatMap(proofsFor);
  const hangsMs = new Map<string, number>();
  await share(benches, proofs, async ({ directory }, proof) => {
    const { caught, silentMs } = await prove(directory, proof, soundMsMax);
    assert.equal(caught, false, `without a bug ${proof.file} fails`);
    hangsMs.set(proof.file, Math.max(patience.msMin, patience.times * silentMs));
  });
  return hangsMs;
}

/** Answers what caught it. */
async function findBug(
  bench: Workbench,
  bug: PlantedBug,
  hangsMs: ReadonlyMap<string, number>,
): Promise<string | undefined> {
  using _ = bench.plant(bug);
  for (const proof of proofsOf(bug)) {
    const { caught } = await prove(bench.directory, proof, hangsMs.get(proof.file) ?? soundMsMax);
    if (caught) return proof.name;
  }
  return undefined;
}

/** Does the work of a list, as many at a time as there are benches. */
async function share<Work>(
  benches: readonly Workbench[],
  list: readonly Work[],
  work: (bench: Workbench, each: Work) => Promise<void>,
): Promise<void> {
  const left = list.values();
  const ended = await Promise.allSettled(
    benches.map(async (bench) => {
      for (const each of left) await work(bench, each);
    }),
  );
  for (const end of ended) if (end.status === "rejected") throw end.reason;
}
