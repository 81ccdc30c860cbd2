import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { type TestContext, test } from "node:test";
import { type Transport, systemEnvironment } from "@waybill/core";
import { seededRandom } from "@waybill/testkit";
import { silent } from "../fixture.test.support.ts";
import { embedded } from "../index.ts";
import { type Act, Disk, readRecording } from "./disk.test.support.ts";

/** Crash points. The full size is 1,000. */
const points = Number(process.env["WAYBILL_CRASH_POINTS"] ?? 100);
const seed = Number(process.env["WAYBILL_SEED"] ?? 20261120);
/** Shares of the unsynced writes that are there after all. */
const shares = [0, 0.5, 0.9, 0.2] as const;
const states = ["ready", "inFlight", "scheduled", "deferred", "dead"] as const;
const skip =
  process.platform === "linux" && spawnSync("gcc", ["--version"]).status === 0
    ? false
    : "the recorder needs Linux and gcc";

test(
  `power fails at ${points} moments: with FULL nothing that was acknowledged is lost`,
  { skip },
  async (context) => {
    const { acts, folder } = record(context, "full");
    const { lost, acknowledged, acksLast } = await powerLosses(context, { acts, folder });
    context.diagnostic(
      `seed ${seed}: ${acts.length} writes and syncs, ${points} crash points, ${acknowledged} acknowledgements checked, ${acksLast} at the last point, ${lost.length} lost`,
    );
    assert.deepEqual(lost.slice(0, 5), []);
    assert.ok(acksLast > 500, "the load was too small to prove anything");
  },
);

test(
  "power fails: the control with NORMAL loses some, so the test can fail",
  { skip },
  async (context) => {
    const { acts, folder } = record(context, "normal");
    const { lost, hurt } = await powerLosses(context, {
      acts,
      folder,
      pointsMax: Math.min(points, 100),
    });
    context.diagnostic(`${lost.length} losses at ${hurt} of ${Math.min(points, 100)} crash points`);
    assert.ok(hurt > 0, "NORMAL lost nothing: the simulated disk forgets too little");
  },
);

interface Recorded {
  readonly acts: readonly Act[];
  readonly folder: string;
}

/** Runs the workload under the recorder, and shows that the recording is complete: it rebuilds the files byte for byte. */
function record(context: TestContext, synchronous: "full" | "normal"): Recorded {
  const root = realpathSync(
    mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "waybill-power-")),
  );
  context.after(() => rmSync(root, { recursive: true, force: true }));
  const library = join(root, "recorder.so");
  const source = join(import.meta.dirname, "recorder.c");
  execFileSync("gcc", ["-shared", "-fPIC", "-O1", "-o", library, source, "-ldl", "-lpthread"]);
  const folder = join(root, "data");
  mkdirSync(folder);
  const file = join(root, "recording");
  const fixture = join(import.meta.dirname, "power-loss.fixture.ts");
  execFileSync(
    process.execPath,
    ["--conditions=@waybill/source", fixture, folder, synchronous, String(seed)],
    {
      env: { ...process.env, LD_PRELOAD: library, RECORDER_FOLDER: folder, RECORDER_FILE: file },
      stdio: "inherit",
      timeout: 120_000,
    },
  );
  const acts = readRecording(file);
  const disk = new Disk(folder);
  for (const act of acts) disk.perform(act);
  const rebuilt = disk.now();
  for (const name of ["waybill.db", "acks"])
    assert.ok(
      rebuilt.get(join(folder, name))?.equals(readFileSync(join(folder, name))),
      `the recording missed something that was done to ${name}`,
    );
  return { acts, folder };
}

interface Outcome {
  readonly lost: readonly string[];
  /** Crash points at which anything was lost. */
  readonly hurt: number;
  readonly acknowledged: number;
  readonly acksLast: number;
}

async function powerLosses(
  context: TestContext,
  { acts, folder, pointsMax = points }: Recorded & { pointsMax?: number },
): Promise<Outcome> {
  const disk = new Disk(folder);
  const acksFile = join(folder, "acks");
  const scene = mkdtempSync(join(folder, "..", "scene-"));
  context.after(() => rmSync(scene, { recursive: true, force: true }));
  const lost: string[] = [];
  let [acks, acknowledged, acksLast, hurt, point] = ["", 0, 0, 0, 0];
  for (const [index, act] of acts.entries()) {
    disk.perform(act);
    if (act.path === acksFile) acks += act.data.toString();
    if (index < ((point + 1) * acts.length) / pointsMax - 1) continue;
    const random = seededRandom(seed + point);
    const files = disk.afterPowerLoss({ random, kept: shares[point % shares.length] ?? 0 });
    const lines = acks.split("\n").filter((line) => line !== "");
    const missing = await judge(join(scene, String(point)), files, lines);
    if (missing.length > 0) hurt += 1;
    lost.push(...missing.map((what) => `point ${point}, act ${index}: ${what}`));
    acknowledged += lines.length;
    acksLast = lines.length;
    point += 1;
  }
  assert.equal(point, pointsMax);
  return { lost, hurt, acknowledged, acksLast };
}

/** Opens what the disk held after the loss of power, and names what is missing, came back or is not what it was. */
async function judge(
  directory: string,
  files: ReadonlyMap<string, Buffer>,
  acks: readonly string[],
): Promise<string[]> {
  mkdirSync(directory);
  for (const [path, content] of files)
    if (basename(path).startsWith("waybill.db"))
      writeFileSync(join(directory, basename(path)), content);
  try {
    const transport = await embedded({ directory }).open({
      environment: systemEnvironment,
      logger: silent,
      instance: "afterwards",
      unrouted: () => {},
    });
    const found = await contents(transport);
    await transport[Symbol.asyncDispose]();
    return acks.flatMap((line) => {
      const id = line.slice(2);
      if (line.startsWith("a "))
        return found.has(`in ${id}`) || found.has(`out ${id}`) ? [] : [`${id} is lost`];
      if (found.has(`in ${id}`)) return [`${id} was settled and came back`];
      return found.has(`out ${id}`) ? [] : [`what ${id} sent when it was settled is lost`];
    });
  } catch (error) {
    return [`it could not be opened: ${String(error)}`];
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Every message as "queue id"; throws for a body that is not what was sent. */
async function contents(transport: Transport): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const state of states) {
    for (let after: string | undefined; ;) {
      const page = await transport.inspection.list({
        state,
        limit: 1_000,
        ...(after !== undefined && { after }),
      });
      for (const { address, envelope } of page) {
        const [id = "", hash, payload = ""] = String(envelope.body).split(":");
        assert.equal(
          createHash("sha256").update(payload).digest("hex"),
          hash,
          `${id} is not what was sent`,
        );
        found.add(`${address} ${id}`);
      }
      after = page.at(-1)?.handle;
      if (after === undefined) break;
    }
  }
  return found;
}
