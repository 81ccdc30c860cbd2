import { closeSync, readSync } from "node:fs";
import type { Environment } from "@waybill/core";
import { openBeside } from "../processes/beside.ts";
import type { Statements } from "./statements.ts";

/** Bytes of write-ahead log after which it is moved into the file: large enough that pages of messages that came and went are written once. */
const logBytes = 16 * 1024 * 1024;
/** Between two tries: a reader that takes long, such as a backup, holds up the end of one. */
const pauseMs = 10;

/** The log's header, and that of each of its frames (https://sqlite.org/fileformat2.html#the_write_ahead_log). */
const headerBytes = 32;
const saltsAt = 16;
const saltBytes = 8;
const frameHeaderBytes = 24;
const frameSaltsAt = 8;

/**
 * Keeps the write-ahead log short. SQLite's own way, a checkpoint after a COMMIT that leaves it long, never ends while several processes write
 * without a pause: others add to the log meanwhile, so it cannot begin anew, grows without bound, and each further COMMIT pays for a checkpoint.
 * So what it can move is moved without the write lock, and the rest with the write lock right after the next COMMIT, when nobody else has it yet.
 */
export class Checkpoints {
  readonly #options: { readonly sql: Statements; readonly environment: Environment };
  readonly #log: number;
  readonly #salts = Buffer.alloc(saltBytes);
  readonly #found = Buffer.alloc(saltBytes);
  readonly #lastFrameAt: number;
  #begun = false;
  #notBefore = 0;

  constructor(
    databaseFile: string,
    pageBytes: number,
    options: { readonly sql: Statements; readonly environment: Environment },
  ) {
    this.#options = options;
    this.#log = openBeside(`${databaseFile}-wal`);
    const frameBytes = frameHeaderBytes + pageBytes;
    this.#lastFrameAt = headerBytes + Math.floor(logBytes / frameBytes) * frameBytes;
  }

  /** Right after a COMMIT of this process: moves the rest, so that the log begins anew. */
  end(): void {
    if (!this.#begun || !this.#isDue()) return;
    this.#begun = false;
    this.#run("checkpointAll");
  }

  /** After it, when there is nothing more urgent: moves what can be moved while others write. */
  begin(): void {
    if (this.#begun || !this.#isDue()) return;
    this.#begun = true;
    this.#run("checkpointSome");
  }

  close(): void {
    closeSync(this.#log);
  }

  /** A frame belongs to the log of now when it has its salts; behind it stand those of earlier ones. */
  #isDue(): boolean {
    const now = this.#options.environment.clock.monotonic();
    if (now < this.#notBefore) return false;
    readSync(this.#log, this.#salts, 0, saltBytes, saltsAt);
    const read = readSync(this.#log, this.#found, 0, saltBytes, this.#lastFrameAt + frameSaltsAt);
    const isLong = read === saltBytes && this.#found.equals(this.#salts);
    if (!isLong) this.#begun = false;
    return isLong;
  }

  #run(checkpoint: "checkpointSome" | "checkpointAll"): void {
    try {
      this.#options.sql[checkpoint].get();
    } catch {
      // A full disk, or a checkpoint of another process. Nothing is lost: the log has it, and the next COMMIT tries again.
    }
    if (checkpoint === "checkpointAll")
      this.#notBefore = this.#options.environment.clock.monotonic() + pauseMs;
  }
}
