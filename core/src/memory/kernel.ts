import { WaybillError } from "../errors.ts";
import type { Environment } from "../ports/environment.ts";
import type { Logger } from "../ports/logger.ts";
import type { TransportHost } from "../ports/transport.ts";
import { Activity } from "./activity.ts";
import { AlarmClock } from "./alarms.ts";
import { Discarded } from "./discarded.ts";
import type { Message } from "./message.ts";
import { Book } from "./book.ts";
import type { MemoryLimits } from "./options.ts";

/** What all parts of one in-memory broker share: its clock, its numbers and its bounds. */
export class Kernel {
  readonly limits: MemoryLimits;
  readonly logger: Logger;
  readonly activity: Activity;
  /** Schedules and expiries, on the wall clock. */
  readonly due: AlarmClock;
  /** What was sent for later and is not due, by the id that its sender knows. */
  readonly later: Map<string, Set<Message>> = new Map();
  readonly discarded: Discarded = new Discarded();
  /** Locks, on the monotonic clock. */
  readonly locks: AlarmClock;
  /** The books of all temporary mailboxes that have ended. */
  readonly removed: Book = new Book(0);
  readonly #environment: Environment;
  #sequence = 0;
  #bytes = 0;

  constructor(
    { environment, logger }: Pick<TransportHost, "environment" | "logger">,
    limits: MemoryLimits,
    onQuiet: () => void,
  ) {
    this.activity = new Activity(onQuiet);
    this.#environment = environment;
    this.logger = logger;
    this.limits = limits;
    this.due = new AlarmClock(() => environment.clock.now(), environment.timers);
    this.locks = new AlarmClock(() => environment.clock.monotonic(), environment.timers);
  }

  now(): number {
    return this.#environment.clock.now();
  }

  monotonic(): number {
    return this.#environment.clock.monotonic();
  }

  /** Does it after what is under way now. */
  soon(work: () => void): void {
    this.activity.waking();
    this.#environment.timers.soon(() => {
      work();
      this.activity.awake();
    });
  }

  nextSequence(): number {
    return ++this.#sequence;
  }

  /** Books one stored message. Whether it fits was asked before, for its whole batch. */
  charge(bodyBytes: number): void {
    this.#bytes += bodyBytes + messageBytes;
  }

  free(bodyBytes: number): void {
    this.#bytes -= bodyBytes + messageBytes;
  }

  fits(bodyBytes: number, messages: number): boolean {
    return this.#bytes + bodyBytes + messages * messageBytes <= this.limits.bytesMax;
  }

  fullError(): WaybillError {
    return new WaybillError(
      "STORAGE_FULL",
      `The in-memory broker holds ${this.#bytes} of ${this.limits.bytesMax} bytes, so the batch was not stored. ` +
        "Let consumers catch up, discard dead letters, or raise bytesMax in memory({ bytesMax }).",
      { retryable: true, details: { bytes: this.#bytes, bytesMax: this.limits.bytesMax } },
    );
  }
}

/** What a message costs beside its body, roughly: objects, header, places in queues. */
const messageBytes = 512;
