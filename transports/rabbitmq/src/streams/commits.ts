import { type Environment, type Settled, sleep } from "@waybill/core";
import type { GroupLog } from "./group-log.ts";
import type { PartitionReader } from "./reader.ts";

export interface CommitsParts {
  readonly environment: Environment;
  readonly log: GroupLog;
  readonly group: string;
}

interface Waiting {
  readonly reader: PartitionReader;
  readonly resolve: (settled: Settled) => void;
}

/** Between two entries: bounds how fast the log grows. */
const apartMs = 5;

/**
 * Writes down how far a member has come, all its partitions together and one entry at a time. The log decides: what stands behind the claim
 * of somebody else counts for nothing, and who wrote it learns so by reading it there.
 */
export class Commits {
  readonly #parts: CommitsParts;
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;

  constructor(parts: CommitsParts) {
    this.#parts = parts;
  }

  /** Resolves when all that was asked for until now has been tried. */
  get done(): Promise<void> {
    return this.#running ?? Promise.resolve();
  }

  /** settled: everything that the reader has done is written down. lockLost: somebody else has its partition. unknown: RabbitMQ did not say. */
  commit(reader: PartitionReader): Promise<Settled> {
    return new Promise((resolve) => {
      this.#waiting.push({ reader, resolve });
      this.#running ??= this.#run();
    });
  }

  async #run(): Promise<void> {
    const { environment } = this.#parts;
    // What one turn has settled goes together.
    await new Promise<void>((resolve) => environment.timers.soon(resolve));
    for (;;) {
      await this.#write(this.#waiting.splice(0));
      if (this.#waiting.length === 0) break;
      await sleep(environment.timers, apartMs);
    }
    // In the same turn as the look above: who asks after it begins anew.
    this.#running = undefined;
  }

  async #write(waiting: readonly Waiting[]): Promise<void> {
    const { log, group } = this.#parts;
    const readers = [...new Set(waiting.map(({ reader }) => reader))];
    const done = readers
      .filter(({ isDirty, isLost }) => isDirty && !isLost)
      .map((reader) => [reader.partition, reader.epoch, reader.done] as const);
    let isKnown = true;
    try {
      if (done.length > 0) await log.append({ kind: "done", group, done });
    } catch {
      isKnown = false;
    }
    for (const { reader, resolve } of waiting) resolve(this.#outcome(reader, isKnown));
    if (!isKnown) return;
    for (const reader of readers)
      for (const [partition, , offset] of done)
        if (partition === reader.partition) reader.committed(offset);
  }

  #outcome({ partition, epoch, isLost }: PartitionReader, isKnown: boolean): Settled {
    const place = this.#parts.log.groups.get(this.#parts.group)?.places[partition];
    if (isLost || place?.epoch !== epoch) return "lockLost";
    return isKnown ? "settled" : "unknown";
  }
}
