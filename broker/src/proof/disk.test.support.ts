import { readFileSync } from "node:fs";

/** One thing that a process did to a file, as `recorder.c` wrote it down. */
export interface Act {
  readonly kind: "write" | "truncate" | "sync" | "unlink" | "rename";
  readonly path: string;
  readonly offset: number;
  readonly data: Buffer;
}

const kinds: Readonly<Record<string, Act["kind"]>> = {
  w: "write",
  t: "truncate",
  s: "sync",
  u: "unlink",
  r: "rename",
};
const headBytes = 15;
const sectorBytes = 512;

export function readRecording(file: string): Act[] {
  const bytes = readFileSync(file);
  const acts: Act[] = [];
  for (let at = 0; at < bytes.length;) {
    const pathBytes = bytes.readUInt16LE(at + 1);
    const dataBytes = bytes.readUInt32LE(at + 3);
    const dataAt = at + headBytes + pathBytes;
    acts.push({
      kind: kinds[String.fromCharCode(bytes[at] ?? 0)] as Act["kind"],
      path: bytes.toString("utf8", at + headBytes, dataAt),
      offset: Number(bytes.readBigUInt64LE(at + 7)),
      data: bytes.subarray(dataAt, dataAt + dataBytes),
    });
    at = dataAt + dataBytes;
  }
  return acts;
}

/** A file without a name. */
class Content {
  durable: Buffer = Buffer.alloc(0);
  /** Done since the last fsync, in order. */
  pending: Act[] = [];

  sync(): void {
    for (const act of this.pending) this.durable = applied(this.durable, act);
    this.pending = [];
  }

  now(): Buffer {
    return this.pending.reduce<Buffer>(applied, Buffer.from(this.durable));
  }

  /** What was not synced is there, or not, or in part, sector by sector, in any order. */
  afterPowerLoss({ random, kept }: Fate): Buffer {
    let content: Buffer = Buffer.from(this.durable);
    for (const act of this.pending) {
      if (act.kind === "truncate") {
        if (random() < kept) content = applied(content, act);
        continue;
      }
      const torn = random() < 1 / 3;
      const whole = random() < kept;
      if (!torn && whole) content = applied(content, act);
      if (torn)
        for (const sector of sectors(act)) if (random() < kept) content = applied(content, sector);
    }
    return content;
  }
}

function applied(content: Buffer, { kind, offset, data }: Act): Buffer {
  const bytes = kind === "truncate" ? offset : Math.max(content.length, offset + data.length);
  const result = bytes === content.length ? content : Buffer.alloc(bytes);
  if (result !== content) content.copy(result, 0, 0, Math.min(content.length, bytes));
  if (kind === "write") data.copy(result, offset);
  return result;
}

/** The parts of a write that a disk stores or loses whole. */
function sectors(act: Act): Act[] {
  const parts: Act[] = [];
  for (let at = 0; at < act.data.length;) {
    const end = Math.min(act.data.length, at + sectorBytes - ((act.offset + at) % sectorBytes));
    parts.push({ ...act, offset: act.offset + at, data: act.data.subarray(at, end) });
    at = end;
  }
  return parts;
}

/** What a loss of power does to what was not synced. */
export interface Fate {
  readonly random: () => number;
  /** Share of it that is there all the same, 0 to 1. */
  readonly kept: number;
}

type Names = Map<string, Content>;

/** A folder on a disk that forgets what was not synced: contents by an fsync of the file, names by one of the folder. */
export class Disk {
  readonly #folder: string;
  #names: Names = new Map();
  #durableNames: Names = new Map();
  /** The names after each change since the folder was synced. A file system keeps their order. */
  #pendingNames: Names[] = [];

  constructor(folder: string) {
    this.#folder = folder;
  }

  perform(act: Act): void {
    const { kind, path, data } = act;
    if (kind === "sync" && path === this.#folder) return this.#syncNames();
    if (kind === "unlink") return this.#rename((names) => names.delete(path));
    const content = this.#names.get(path);
    if (kind === "rename") {
      return this.#rename((names) => {
        names.delete(path);
        if (content !== undefined) names.set(data.toString("utf8"), content);
      });
    }
    if (kind === "sync") return content?.sync();
    if (content === undefined) {
      const created = new Content();
      created.pending.push(act);
      this.#rename((names) => names.set(path, created));
    } else content.pending.push(act);
  }

  /** Everything that was done, as if power never failed. */
  now(): Map<string, Buffer> {
    return new Map([...this.#names].map(([path, content]) => [path, content.now()]));
  }

  afterPowerLoss(fate: Fate): Map<string, Buffer> {
    const reached = Math.floor(fate.random() * (this.#pendingNames.length + 1));
    const names = this.#pendingNames[reached - 1] ?? this.#durableNames;
    return new Map([...names].map(([path, content]) => [path, content.afterPowerLoss(fate)]));
  }

  #rename(change: (names: Names) => void): void {
    this.#names = new Map(this.#names);
    change(this.#names);
    this.#pendingNames.push(this.#names);
  }

  #syncNames(): void {
    this.#durableNames = this.#names;
    this.#pendingNames = [];
  }
}
