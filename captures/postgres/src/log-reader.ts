import type { Outgoing, Timer } from "@waybill/core";
import { within } from "@waybill/core/adapter";
import { aborted } from "./aborted.ts";
import { broken } from "./bytes.ts";
import { Changes, type MessageParts } from "./changes.ts";
import { Inbox } from "./inbox.ts";
import type { ReplicationLine } from "./line.ts";
import { type LogMessage, readMessage } from "./pgoutput.ts";
import type { Publisher } from "./publisher.ts";

export interface ReaderParts extends MessageParts {
  readonly line: ReplicationLine;
  readonly publisher: Publisher;
  /** The server sends: the slot is this line's. */
  readonly begun: () => void;
  /** Told once of what cannot be published; nothing is read on. */
  readonly halted: (error: unknown) => void;
}

const batchBytesMax = 1024 * 1024;
/** Between two answers to the server that tell of progress. */
const confirmMs = 250;
/** Items that are gone through before others get their turn. */
const itemsAtOnce = 256;
const statusMsMost = 10_000;
/** How many times as long as between two answers the server may be silent. */
const silenceFactor = 4;
/** How long what is on its way may take when reading ends. */
const lastBatchMsMax = 2_000;
const walData = 0x77;
const keepAlive = 0x6b;

/** Publishes what the log holds, in the order of commits, and tells the server only what the broker has confirmed. */
export class LogReader {
  readonly #parts: ReaderParts;
  readonly #inbox: Inbox;
  readonly #changes: Changes;
  readonly #statusMs: number;
  #batch: Outgoing[] = [];
  #batchBytes = 0;
  /** All before it is in `#batch` or confirmed by the broker. */
  #reached: bigint;
  #confirmed: bigint;
  #toldAt = Number.NEGATIVE_INFINITY;
  #heardAt: number;
  #isBegun = false;
  #soon: Timer | undefined;

  constructor(parts: ReaderParts, confirmed: bigint) {
    this.#parts = parts;
    this.#inbox = new Inbox(parts.line);
    this.#changes = new Changes(parts);
    this.#reached = confirmed;
    this.#confirmed = confirmed;
    this.#heardAt = parts.host.environment.clock.monotonic();
    const { senderTimeoutMs } = parts.found;
    this.#statusMs =
      senderTimeoutMs === 0 ? statusMsMost : Math.min(statusMsMost, senderTimeoutMs / 4);
  }

  /** Until it is aborted, or the line ends: then it rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { line, settings, host } = this.#parts;
    const ended = new AbortController();
    const reading = line.read(settings, (chunk) => this.#take(chunk));
    reading.then(
      () => ended.abort(new Error("The server has ended the line.")),
      (error: unknown) => ended.abort(error),
    );
    const either = AbortSignal.any([signal, ended.signal]);
    const watch = this.#watch(ended);
    const hard = new AbortController();
    ended.signal.addEventListener("abort", () => hard.abort(ended.signal.reason), { once: true });
    try {
      const work = this.#work(either, hard.signal);
      work.catch(() => undefined);
      await aborted(either);
      if (!(await within(host.environment, work, lastBatchMsMax))) hard.abort(either.reason);
      await work.catch(() => undefined);
      if (ended.signal.aborted) {
        if (!signal.aborted) throw ended.signal.reason;
        return;
      }
      this.#tell(false);
      await line.finish((each, deadlineMs) => within(host.environment, each, deadlineMs));
    } finally {
      watch.cancel();
      this.#soon?.cancel();
    }
  }

  /** What the server sends is read at once, for its bytes do not stay. */
  #take(chunk: Buffer): void {
    this.#heardAt = this.#parts.host.environment.clock.monotonic();
    if (!this.#isBegun) this.#parts.begun();
    this.#isBegun = true;
    try {
      if (chunk[0] === walData && chunk.length > 25) {
        const message = readMessage(chunk.subarray(25));
        this.#inbox.push({ kind: "message", lsn: chunk.readBigUInt64BE(1), message }, chunk.length);
      } else if (chunk[0] === keepAlive && chunk.length === 18) {
        this.#inbox.push({ kind: "reached", lsn: chunk.readBigUInt64BE(1) }, 0);
        if (chunk[17] === 1) this.#tell(false);
      } else throw broken(`${chunk[0]} is no kind of line message`);
    } catch (error) {
      this.#inbox.push({ kind: "broken", error }, 0);
    }
  }

  async #work(signal: AbortSignal, hard: AbortSignal): Promise<void> {
    const { batchMax } = this.#parts.settings;
    for (let count = 0; ;) {
      await this.#inbox.filled(signal);
      if (signal.aborted) break;
      const taken = this.#inbox.take();
      if (taken === undefined) continue;
      const { item, bytes } = taken;
      try {
        if (item.kind === "broken") throw item.error;
        else if (item.kind === "message") await this.#read(item.lsn, item.message, bytes);
        else if (!this.#changes.isInTransaction) this.#reach(item.lsn);
      } catch (error) {
        await this.#flush(hard);
        this.#parts.halted(error);
        return;
      }
      count += 1;
      const isFull = this.#batch.length >= batchMax || this.#batchBytes >= batchBytesMax;
      if (isFull || this.#inbox.isEmpty) await this.#flush(hard);
      if (isFull || count % itemsAtOnce === 0) await this.#breathe();
    }
    await this.#flush(hard);
  }

  async #read(lsn: bigint, message: LogMessage, bytes: number): Promise<void> {
    switch (message.kind) {
      case "begin":
        return this.#changes.begin(message);
      case "commit":
        this.#changes.commit();
        return this.#reach(message.endLsn);
      case "relation":
        return this.#changes.learn(message.relation);
      case "other":
        return;
      default:
        this.#batch.push(...(await this.#changes.messagesOf(lsn, message)));
        this.#batchBytes += bytes;
    }
  }

  #reach(lsn: bigint): void {
    if (lsn > this.#reached) this.#reached = lsn;
  }

  async #flush(hard: AbortSignal): Promise<void> {
    if (this.#batch.length > 0) await this.#parts.publisher.deliver(this.#batch, hard);
    this.#batch = [];
    this.#batchBytes = 0;
    if (this.#reached <= this.#confirmed) return;
    this.#confirmed = this.#reached;
    const { timers, clock } = this.#parts.host.environment;
    const dueMs = this.#toldAt + confirmMs - clock.monotonic();
    this.#soon ??= timers.set(
      () => {
        this.#soon = undefined;
        this.#tell(false);
      },
      Math.max(0, dueMs),
    );
  }

  /** A broker in this process confirms without leaving it: the server has to be heard and answered between two batches. */
  #breathe(): Promise<void> {
    const { timers } = this.#parts.host.environment;
    return new Promise((resolve) => timers.soon(resolve));
  }

  #tell(ask: boolean): void {
    const { clock } = this.#parts.host.environment;
    this.#toldAt = clock.monotonic();
    this.#parts.line.confirm(this.#confirmed, { now: clock.now(), ask });
  }

  /** Answers the server while a batch is on its way, however long, and notices a line that is dead. */
  #watch(ended: AbortController): { cancel(): void } {
    const { timers, clock } = this.#parts.host.environment;
    let timer: Timer;
    const look = (): void => {
      // Who does not read does not hear.
      if (this.#inbox.isResting) this.#heardAt = clock.monotonic();
      const silentMs = clock.monotonic() - this.#heardAt;
      if (silentMs > this.#statusMs * silenceFactor)
        ended.abort(new Error(`The server was silent for ${Math.round(silentMs)} ms.`));
      this.#tell(true);
      timer = timers.set(look, this.#statusMs);
    };
    timer = timers.set(look, this.#statusMs);
    return { cancel: () => timer.cancel() };
  }
}
