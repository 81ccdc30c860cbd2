import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** A process that `brokers up` started. */
interface Started {
  readonly server: string;
  readonly pid: number;
  /** When the kernel says it began: tells it from a later process with the same number. */
  readonly began: string;
}

const uid = process.getuid?.() ?? 0;

/**
 * Data, logs and the ledger of started processes. Per user and not per checkout, because the ports are the
 * machine's; in /tmp, because PostgreSQL runs as a user of its own that may not see into a home folder.
 */
export const stateDirectory: string = join(tmpdir(), `waybill-brokers-${uid}`);
const ledgerFile = join(stateDirectory, "ledger.json");

const endMsMax = 20_000;
const endPollMs = 100;

/** A server's own folder, created when missing. */
export function directoryOf(server: string): string {
  mkdirSync(stateDirectory, { recursive: true, mode: 0o755 });
  const state = lstatSync(stateDirectory);
  if (!state.isDirectory() || state.uid !== uid)
    throw new Error(`${stateDirectory} belongs to somebody else. Remove it, or set TMPDIR.`);
  const directory = join(stateDirectory, server);
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  return directory;
}

export function record(server: string, pid: number): void {
  const began = beginningOf(pid);
  if (began !== undefined) write([...read(), { server, pid, began }]);
}

/** Process ids that we started for this server and that still run. */
export function runningFor(server: string): readonly number[] {
  return read()
    .filter((entry) => entry.server === server && isAlive(entry))
    .map(({ pid }) => pid);
}

/** Ends what we started for this server, last started first. Answers the process ids that were ended. */
export async function end(server: string): Promise<readonly number[]> {
  const entries = read()
    .filter((entry) => entry.server === server && isAlive(entry))
    .toReversed();
  for (const entry of entries) await endProcess(entry);
  write(read().filter((entry) => entry.server !== server));
  if (entries.length > 0) rmSync(join(stateDirectory, server), { recursive: true, force: true });
  return entries.map(({ pid }) => pid);
}

async function endProcess(entry: Started): Promise<void> {
  process.kill(entry.pid, "SIGTERM");
  for (let waitedMs = 0; waitedMs < endMsMax; waitedMs += endPollMs) {
    if (!isAlive(entry)) return;
    await sleep(endPollMs);
  }
  process.kill(entry.pid, "SIGKILL");
}

function isAlive({ pid, began }: Started): boolean {
  return beginningOf(pid) === began;
}

/** Start time of a process; undefined when there is none, or only its remains. */
function beginningOf(pid: number): string | undefined {
  if (!existsSync("/proc/self/stat")) return isReachable(pid) ? "unknown" : undefined;
  try {
    // After the command's closing bracket: state is field 1, start time in clock ticks field 20.
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function isReachable(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function read(): readonly Started[] {
  if (!existsSync(ledgerFile)) return [];
  return JSON.parse(readFileSync(ledgerFile, "utf8")) as readonly Started[];
}

function write(entries: readonly Started[]): void {
  if (!existsSync(stateDirectory)) return;
  writeFileSync(ledgerFile, JSON.stringify(entries, null, 2));
  if (entries.length === 0 && readdirSync(stateDirectory).length === 1)
    rmSync(stateDirectory, { recursive: true });
}
