import {
  type Capture,
  type CaptureHealth,
  type CaptureHost,
  type CaptureState,
  WaybillError,
  sleep,
} from "@waybill/core";
import { messageOf } from "@waybill/core/adapter";
import { aborted } from "./aborted.ts";
import { captureError, isOfRows, isTaken } from "./errors.ts";
import { ReplicationLine } from "./line.ts";
import { LogReader } from "./log-reader.ts";
import type { Settings } from "./options.ts";
import { Publisher } from "./publisher.ts";
import { type Found, prepare } from "./setup.ts";
import { confirmedOf, makeSlot } from "./slot.ts";
import { takeSnapshot } from "./snapshot.ts";
import { SlotWatch } from "./watch.ts";

/** How often who stands by asks for the slot. */
const standbyMs = 1_000;
const pauseMsFirst = 200;
const pauseMsMost = 10_000;
/** Between two tries of what a person has to mend. */
const haltedMs = 10_000;

/** One process's part in a capture: it stands by, or it reads, and begins again whenever its line breaks. */
export class PostgresCapture implements Capture {
  readonly name: string;
  readonly #settings: Settings;
  readonly #host: CaptureHost;
  readonly #publisher: Publisher;
  readonly #watch: SlotWatch;
  readonly #over = new AbortController();
  #session = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #state: CaptureState = "connecting";
  #trouble: string | undefined;
  #hadSlot = false;

  constructor(settings: Settings, host: CaptureHost) {
    this.name = settings.name;
    this.#settings = settings;
    this.#host = host;
    this.#publisher = new Publisher(host, settings.name);
    this.#watch = new SlotWatch(settings, host, () =>
      this.#session.abort(new Error("The server is being stopped.")),
    );
  }

  /** Whether it can work at all. */
  async check(): Promise<void> {
    try {
      await using line = await ReplicationLine.open(this.#settings);
      await prepare(line, this.#settings, this.#host.mayCreate);
      if ((await confirmedOf(line, this.#settings)) === undefined) this.#checkMissingSlot();
    } catch (error) {
      throw captureError(error, this.name);
    }
  }

  start(): void {
    this.#watch.look();
    this.#running = this.#run();
  }

  health(): CaptureHealth {
    const watched = this.#watch.health();
    const { trouble, published } = this.#publisher;
    const reasons = [...watched.reasons];
    if (trouble !== undefined) reasons.push(trouble.words);
    if (this.#trouble !== undefined) reasons.push(this.#trouble);
    const isFailed =
      this.#state === "halted" || trouble?.isLasting === true || watched.status === "failed";
    return {
      name: this.name,
      state: this.#state,
      status: isFailed
        ? "failed"
        : this.#state === "connecting" && this.#trouble !== undefined
          ? "down"
          : reasons.length > 0
            ? "degraded"
            : "up",
      reasons,
      published,
      retainedBytes: this.#watch.retainedBytes,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort(new Error("The capture is closed."));
    await this.#running;
    await this.#watch.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#over;
    let pauseMs = pauseMsFirst;
    while (!signal.aborted) {
      this.#session = new AbortController();
      const started = this.#host.environment.clock.monotonic();
      let waitMs = 0;
      try {
        await this.#once(AbortSignal.any([signal, this.#session.signal]));
      } catch (error) {
        // A line that held for a while has shown that all is well but the line.
        if (this.#host.environment.clock.monotonic() - started > pauseMsMost)
          pauseMs = pauseMsFirst;
        // Again would publish all rows before it again, and end at the same one.
        if (this.#state === "snapshot" && isOfRows(error)) {
          this.#halt(error);
          await aborted(signal);
        } else waitMs = this.#tell(error, pauseMs);
        pauseMs = Math.min(pauseMs * 2, pauseMsMost);
      }
      const drawn = waitMs * (0.75 + this.#host.environment.random() / 2);
      await sleep(this.#host.environment.timers, drawn, signal).catch(() => undefined);
    }
  }

  /** Says why, once, and answers when to try again. */
  #tell(error: unknown, pauseMs: number): number {
    if (this.#over.signal.aborted) return 0;
    const { logger } = this.#host;
    if (isTaken(error)) {
      if (this.#state !== "standby")
        logger.info(`${this.name} stands by: another process captures.`);
      this.#state = "standby";
      this.#trouble = undefined;
      return standbyMs;
    }
    const known = captureError(error, this.name);
    const isNew = this.#trouble !== known.message;
    this.#trouble = known.message;
    this.#state = known.retryable ? "connecting" : "halted";
    if (isNew) logger[known.retryable ? "warn" : "error"](known.message);
    return known.retryable ? pauseMs : haltedMs;
  }

  async #once(signal: AbortSignal): Promise<void> {
    const { signal: over } = this.#over;
    await using line = await ReplicationLine.open(this.#settings);
    const found = await prepare(line, this.#settings, this.#host.mayCreate);
    const confirmed =
      (await confirmedOf(line, this.#settings)) ?? (await this.#begin(line, found, signal));
    this.#hadSlot = true;
    const reader = new LogReader(
      {
        line,
        found,
        settings: this.#settings,
        host: this.#host,
        publisher: this.#publisher,
        begun: () => this.#isCapturing(),
        halted: (error) => this.#halt(error),
      },
      confirmed,
    );
    await reader.run(signal);
    if (!over.aborted) throw signal.reason;
  }

  /** There is no slot yet. */
  async #begin(line: ReplicationLine, found: Found, signal: AbortSignal): Promise<bigint> {
    const [settings, host, publisher] = [this.#settings, this.#host, this.#publisher];
    this.#checkMissingSlot();
    if (settings.snapshot === "never") {
      host.logger.warn(
        `${settings.name} has made the slot "${settings.slot}", which was not there: what changed before is not published.`,
      );
      return makeSlot(line, settings);
    }
    const begun = (): void => {
      this.#state = "snapshot";
      host.logger.info(`${settings.name} publishes the rows that are there.`);
    };
    return takeSnapshot({ line, settings, host, publisher, found, begun }, signal);
  }

  #checkMissingSlot(): void {
    const { slot, snapshot } = this.#settings;
    if (this.#hadSlot)
      throw new WaybillError(
        "STORAGE_FAILED",
        `${this.name} had the slot "${slot}", and it is not there any more: what changed since is not known. Start the service again to begin anew${snapshot === "initial" ? " with a snapshot" : ""}.`,
      );
    if (this.#host.mayCreate) return;
    const words =
      snapshot === "initial"
        ? 'Let one process connect with declare: "create", which makes it with the snapshot; or give snapshot: "never".'
        : `Run: select pg_create_logical_replication_slot('${slot}', 'pgoutput').`;
    throw new WaybillError(
      "WIRING_INVALID",
      `${this.name} has no slot "${slot}", and may make none. ${words}`,
    );
  }

  #isCapturing(): void {
    if (this.#state !== "capturing") this.#host.logger.info(`${this.name} captures.`);
    this.#watch.look();
    this.#state = "capturing";
    this.#trouble = undefined;
  }

  #halt(error: unknown): void {
    this.#state = "halted";
    this.#trouble = `${this.name} has halted: ${messageOf(error)} What follows waits in the log; deploy what can take it.`;
    this.#host.logger.error(this.#trouble);
  }
}
