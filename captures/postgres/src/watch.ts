import type { Client } from "pg";
import type { CaptureHealth, CaptureHost, Timer } from "@waybill/core";
import { messageOf } from "@waybill/core/adapter";
import { isStopping } from "./errors.ts";
import { openClient } from "./line.ts";
import type { Settings } from "./options.ts";
import { snapshotSlot } from "./snapshot.ts";

const watchMs = 10_000;

interface Reading {
  readonly retained: number;
  /** "reserved", "extended", "unreserved" or "lost". */
  readonly status: string;
  /** How many bytes may still be written before the slot is lost; undefined where nothing bounds it. */
  readonly safe: number | undefined;
}

const query = `select coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0) as retained, wal_status as status, safe_wal_size as safe
  from pg_replication_slots where slot_name = any($1) order by retained desc limit 1`;

/** Looks how much of its log the server keeps for the slot, and warns: a slot that nobody reads fills the disk of the database. */
export class SlotWatch {
  readonly #settings: Settings;
  readonly #host: CaptureHost;
  readonly #stopping: () => void;
  #client: Client | undefined;
  #timer: Timer | undefined;
  #isClosed = false;
  #looking: Promise<void> = Promise.resolve();
  #reading: Reading | undefined;
  #warnedAt = 0;

  /** `stopping` is told when the server ends its connections: one that stops waits for those that read its log. */
  constructor(settings: Settings, host: CaptureHost, stopping: () => void) {
    this.#settings = settings;
    this.#host = host;
    this.#stopping = stopping;
  }

  get retainedBytes(): number | undefined {
    return this.#reading?.retained;
  }

  /** Looks now, and from then on again and again. */
  look(): void {
    this.#timer?.cancel();
    this.#looking = this.#looking.then(() => this.#look());
  }

  health(): Pick<CaptureHealth, "status" | "reasons"> {
    const { retainedBytesMax } = this.#settings;
    const reading = this.#reading;
    if (reading === undefined) return { status: "up", reasons: [] };
    if (["lost", "unreserved"].includes(reading.status))
      return { status: "failed", reasons: [this.#words(reading)] };
    if (reading.retained > retainedBytesMax)
      return { status: "degraded", reasons: [this.#words(reading)] };
    return { status: "up", reasons: [] };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#looking;
    this.#timer?.cancel();
    await this.#client?.end().catch(() => undefined);
  }

  async #look(): Promise<void> {
    if (this.#isClosed) return;
    this.#timer?.cancel();
    try {
      const client = (this.#client ??= await this.#connect());
      const { slot } = this.#settings;
      const { rows } = await client.query<Record<string, string | null>>(query, [
        [slot, snapshotSlot(slot)],
      ]);
      this.#reading = rows[0] === undefined ? undefined : readingOf(rows[0]);
      this.#warn();
    } catch (error) {
      this.#drop(error);
      this.#host.logger.debug(
        `${this.#settings.name} could not look at its slot: ${messageOf(error)}`,
      );
    }
    if (this.#isClosed) return;
    this.#timer = this.#host.environment.timers.set(() => this.look(), watchMs);
  }

  async #connect(): Promise<Client> {
    const client = await openClient(this.#settings, false);
    client.on("error", (error) => this.#drop(error));
    return client;
  }

  #drop(reason: unknown): void {
    void this.#client?.end().catch(() => undefined);
    this.#client = undefined;
    if (isStopping(reason)) this.#stopping();
  }

  /** When a bound is passed, and again whenever it has doubled. */
  #warn(): void {
    const reading = this.#reading;
    if (reading === undefined || this.health().status === "up") this.#warnedAt = 0;
    else if (this.#warnedAt === 0 || reading.retained >= this.#warnedAt * 2) {
      this.#warnedAt = Math.max(1, reading.retained);
      this.#host.logger.warn(this.#words(reading));
    }
  }

  #words({ retained, status, safe }: Reading): string {
    const { name, slot } = this.#settings;
    const room =
      safe === undefined
        ? "Nothing bounds it (max_slot_wal_keep_size = -1), and it can fill the disk"
        : `After ${bytesInWords(Math.max(0, safe))} more the slot is lost`;
    if (status === "lost")
      return `${name}: the slot "${slot}" is lost, for more log was written than max_slot_wal_keep_size allows. Changes are gone: drop the slot and start again with snapshot "initial".`;
    return `${name}: the server keeps ${bytesInWords(retained)} of its log for the slot "${slot}". ${room}. See that the capture runs and the broker takes what it publishes, and that no transaction of the database stays open; or drop the slot.`;
  }
}

function readingOf(row: Readonly<Record<string, string | null>>): Reading {
  const safe = row["safe"];
  return {
    retained: Number(row["retained"]),
    status: row["status"] ?? "reserved",
    safe: safe === null || safe === undefined ? undefined : Number(safe),
  };
}

function bytesInWords(bytes: number): string {
  const mib = bytes / 1024 ** 2;
  return mib >= 10 ? `${Math.round(mib)} MiB` : `${Math.round(bytes / 1024)} KiB`;
}
