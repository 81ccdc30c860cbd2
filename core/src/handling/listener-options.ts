import type { Ending, Entry } from "./entry.ts";
import type { CircuitBreaker } from "../flow/circuit-breaker.ts";
import type { GateSide, RateGate } from "../flow/rate-gate.ts";
import type { Delivery, Source } from "../ports/transport.ts";

export interface ListenerOptions {
  readonly source: Source;
  readonly concurrency: number;
  readonly prefetch: number;
  readonly lockMs: number;
  readonly start?: "earliest" | "latest";
  /** Most sessions at a time, where the source has them. */
  readonly sessions?: number;
  /** Whether a message is to be handled; absent where every one is. What is not is completed at once: it takes no handler, no lane and no rate. */
  readonly wants?: (delivery: Delivery) => boolean;
  /** Entries of one lane run one after another; undefined for no lane. */
  readonly lane?: (delivery: Delivery) => string | undefined;
  /** Settles the entry, or answers `retry`: after which time to run it again without letting its lane go on. */
  readonly run: (entry: Entry) => Ending | PromiseLike<Ending>;
  /** Where entries are gathered before they run. */
  readonly gathering?: Gathering;
  /** Where handlers have rates: says when an entry may begin. */
  readonly gate?: (side: GateSide) => RateGate;
  /** Where handlers have a circuit breaker: whether entries may begin at all. */
  readonly breaker?: CircuitBreaker;
  /** Told how many entries went back unhandled at shutdown. */
  readonly released?: (entry: Entry) => void;
}

/** Runs entries many at a time and keeps their order itself. It is given those whose lock is lost, too. */
export interface Gathering {
  /** Messages in handlers. */
  readonly inFlight: number;
  /** Intake has ended: what is gathered runs at once where a handler is free; the rest ends as `back`. */
  close(): void;
}
