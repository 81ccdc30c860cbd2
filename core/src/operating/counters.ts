import { Overdue } from "../handling/time-limit.ts";

/** What happened to the messages of one contract in this process since it connected. */
export interface ContractCounters {
  sent: number;
  /** Of those, how many the broker did not store because it knew them from before. */
  duplicates: number;
  /** Handled to success. */
  handled: number;
  /** Completed without running, because the inbox of the store knows that it was handled. */
  repeated: number;
  /** Completed without running, by the rule of a saga that could not take it, and timeouts that had ended. */
  ignored: number;
  /** Runs of a handler that failed, each retry included. */
  failed: number;
  retried: number;
  deadLettered: number;
  deferred: number;
  /** Given back unhandled at shutdown. */
  released: number;
  /** Settled too late: somebody else had the message by then. */
  lockLost: number;
  /** Completed unhandled, because the handler's rule does not hold and the broker did not evaluate it. */
  filtered: number;
  /** The broker did not say whether settling worked; the message may come again. */
  settleUnknown: number;
  /** Published while no subscription took this type. */
  unrouted: number;
  /** Calls whose caller stopped waiting before there was an answer. */
  abandoned: number;
  /** Runs of a handler that were given up, because they had not ended when their time was over. */
  timedOut: number;
  /** Times that this process opened a feed again after it had lost it. */
  resumed: number;
}

/** Answers that were refused. */
export interface ReplyCounters {
  /** For a call that had ended already: too late, or a second time. */
  late: number;
  /** For a call that was never made here. */
  forged: number;
  /** An answer that found no reply queue, because the caller's process is gone. */
  undeliverable: number;
}

export class Counters {
  readonly replies: ReplyCounters = { late: 0, forged: 0, undeliverable: 0 };
  /** Messages of a type that nothing here handles, by address. */
  readonly unknownTypes: Map<string, number> = new Map();
  readonly #overdue = new Map<string, Overdue>();
  readonly #contracts = new Map<string, ContractCounters>();

  of(contract: string): ContractCounters {
    const known = this.#contracts.get(contract);
    if (known !== undefined) return known;
    const fresh: ContractCounters = {
      sent: 0,
      duplicates: 0,
      handled: 0,
      repeated: 0,
      ignored: 0,
      failed: 0,
      retried: 0,
      deadLettered: 0,
      deferred: 0,
      released: 0,
      lockLost: 0,
      filtered: 0,
      settleUnknown: 0,
      unrouted: 0,
      abandoned: 0,
      timedOut: 0,
      resumed: 0,
    };
    this.#contracts.set(contract, fresh);
    return fresh;
  }

  overdueOf(handler: string): Overdue {
    const known = this.#overdue.get(handler) ?? new Overdue();
    this.#overdue.set(handler, known);
    return known;
  }

  /** By handler: runs that were given up and have not ended. */
  overdue(): Readonly<Record<string, number>> {
    const running = [...this.#overdue].map(([name, each]) => [name, each.running] as const);
    return Object.fromEntries(running.filter(([, count]) => count > 0));
  }

  /** A copy of everything counted so far. */
  snapshot(): Readonly<Record<string, Readonly<ContractCounters>>> {
    return Object.fromEntries(
      [...this.#contracts].map(([name, counters]) => [name, { ...counters }]),
    );
  }
}
