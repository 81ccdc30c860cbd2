import type {
  Failure,
  Listener,
  ReceiveOptions,
  Receiver,
  Session,
  Settled,
  Settlement,
  Source,
  WaybillError,
} from "@waybill/core";
import { Budget, type Plan } from "../storage/budget.ts";
import { type Claim, type Claimer, ClaimOperation, type Locked } from "./claim.ts";
import type { Encoded } from "../storage/codec.ts";
import type { Connection } from "../storage/connection.ts";
import { isRefusal, storageError } from "../errors.ts";
import { Lease } from "./lease.ts";
import { countRun } from "./count-run.ts";
import type { QueueDelivery } from "./delivery.ts";
import { QueueHand } from "./hand.ts";
import { Returns } from "./returns.ts";
import { SessionHandle } from "./session-handle.ts";
import { SettleOperation, isDone, leaving } from "./settle.ts";
import type { Transaction } from "../storage/transaction.ts";
import type { Waiter } from "../processes/wake.ts";

/** Most messages of one claim: bounds the transaction, and what one receiver takes from the others at once. */
const claimMax = 1_000;

/** What `receive` was asked for. */
export interface Reception {
  readonly source: Source;
  readonly options: ReceiveOptions;
  readonly listener: Listener;
  /** Called when it was stopped and holds nothing any more. */
  readonly ended: () => void;
}

/** Given when it is a part of another receiver. */
export interface Part {
  /** Shared with the whole. */
  readonly budget?: Budget;
  /** Whether it counts among the receivers of its address. */
  readonly registers?: boolean;
}

/** One receiver of a queue or a subscription: claims when it has room, renews what it holds, settles. */
export class QueueReceiver implements Receiver, Waiter, Claimer {
  readonly source: Source;
  readonly registers: boolean;
  readonly connection: Connection;
  readonly #budget: Budget;
  readonly #listener: Listener;
  readonly #ended: () => void;
  readonly lease: Lease;
  readonly hand: QueueHand;
  /** Settled by the handler, not yet by the database. */
  #settling = 0;
  /** The last claim found less than it had room for, and nothing was signalled since. */
  #drained = false;
  #claiming = false;
  /** There is room for another session, and the claim that is under way did not know. */
  #freed = false;
  #paused = false;
  #stopped = false;
  readonly #returns: Returns;

  constructor(
    connection: Connection,
    { source, options, listener, ended }: Reception,
    { budget = new Budget(options), registers = true }: Part = {},
  ) {
    this.connection = connection;
    this.source = source;
    this.#budget = budget;
    budget.onFreed(() => this.#claim());
    this.registers = registers;
    this.#listener = listener;
    this.#ended = ended;
    this.hand = new QueueHand(budget, options);
    this.#returns = new Returns(connection.writer, (delivery) => {
      if (delivery !== undefined) this.#leave(delivery);
      this.#closeWhenEmpty();
    });
    this.lease = new Lease(connection, options.lockMs, {
      counts: registers,
      holds: () => this.#holds(),
      lost: () => this.#lost(),
      fault: (error) => listener.fault(error),
    });
  }

  /** A claim is on its way and may take from the budget. */
  get isClaiming(): boolean {
    return this.#claiming;
  }

  get hasEnded(): boolean {
    return this.#stopped && this.#isEmpty();
  }

  session(name: string, delivery: QueueDelivery): Session {
    const holds = (): boolean => this.hand.has(delivery);
    return new SessionHandle(name, delivery, { connection: this.connection, holds });
  }

  /** Something may be ready. */
  signal(): void {
    this.#drained = false;
    this.#claim();
  }

  concerns({ madeReady }: Transaction): boolean {
    const address = this.connection.addresses.delivering(this.source);
    return address !== undefined && madeReady.has(address);
  }

  isIdle(): boolean {
    return this.#drained && !this.#claiming && !this.#paused && !this.#stopped;
  }

  hasWork(): boolean {
    const { addresses, sql } = this.connection;
    const address = addresses.delivering(this.source);
    return (
      address !== undefined &&
      (sql.anyReady.get(address) ?? sql.anyAvailableSession.get(address)) !== undefined
    );
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#closeWhenEmpty();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.signal();
  }

  /** Messages that may be claimed now. */
  plan(): Plan {
    return this.#budget.plan(this.#paused || this.#stopped ? 0 : claimMax);
  }

  /** A claim was committed. */
  claimed({ grant, batch, drained, blocked }: Claim): void {
    this.#claiming = false;
    if (grant !== undefined) this.lease.adopt(grant);
    this.#drained ||= drained && !this.#freed;
    for (const delivery of batch) this.hand.receive(delivery);
    if (blocked) this.#budget.block();
    if (batch.length > 0) this.#listener.deliver(batch);
    this.#claim();
  }

  claimFailed(error: WaybillError): void {
    this.#claiming = false;
    // The next signal or poll tries again; at once would be a loop without a pause.
    this.#drained = true;
    this.#listener.fault(error);
  }

  unreadable(error: WaybillError, locked: Locked): void {
    this.lease.adopt(locked.grant);
    this.#returns.giveBack(locked, () => this.claimFailed(error));
  }

  settle(delivery: QueueDelivery, settlement: Settlement): Promise<Settled> {
    if (!this.hand.has(delivery)) return Promise.resolve("lockLost");
    let send: readonly Encoded[];
    try {
      send = leaving(settlement, delivery.session, this.connection.settings.bodyBytesMax);
    } catch (error) {
      return Promise.reject(storageError(error, this.connection.file));
    }
    this.hand.forget(delivery);
    this.#settling += 1;
    return new Promise((resolve, reject) => {
      const settled = (answer: Settled): void => {
        this.#settling -= 1;
        if (answer === "settled" && !isDone(settlement)) this.#loseBehind(delivery);
        resolve(answer);
        this.#leave(delivery);
        this.#closeWhenEmpty();
      };
      const failed = (error: WaybillError): void => {
        this.#settling -= 1;
        if (send.length > 0 && isRefusal(error)) {
          this.#takeBack(delivery);
          return reject(error);
        }
        // Its lock stays until the storage works again; then it is opened for another attempt, before what stands behind it.
        this.#abandon([delivery, ...this.hand.behind(delivery)]);
        this.#listener.fault(error);
        resolve("unknown");
      };
      this.connection.writer.submit(
        new SettleOperation(delivery, { ...settlement, send }, { settled, failed }),
      );
    });
  }

  countRun(delivery: QueueDelivery, failure: Failure): Promise<Settled> {
    if (!this.hand.has(delivery)) return Promise.resolve("lockLost");
    return countRun(this.connection.writer, delivery, failure);
  }

  fault(error: WaybillError): void {
    this.#listener.fault(error);
  }

  /** Opens what was delivered and never settled, for others; its attempts count, for its handler may have run. */
  abandonAll(): void {
    this.#abandon(this.hand.all());
    this.#returns.retry();
  }

  #abandon(deliveries: readonly QueueDelivery[]): void {
    for (const delivery of deliveries) {
      this.#returns.reopen(delivery);
      if (!this.hand.has(delivery)) continue;
      this.hand.forget(delivery);
      delivery.lose();
    }
  }

  #claim(): void {
    if (this.#claiming || this.#drained || this.#paused || this.#stopped || this.#budget.room === 0)
      return;
    this.#claiming = true;
    this.#freed = false;
    this.connection.writer.submit(new ClaimOperation(this), "last");
  }

  /** It is settled for good. A session that it was the last of makes room for another. */
  #leave(delivery: QueueDelivery): void {
    if (delivery.lease !== this.lease.id || !this.hand.leave(delivery)) return;
    this.#drained = false;
    this.#freed = this.#claiming;
    this.#claim();
  }

  /** What stands behind it in its session went back with it. */
  #loseBehind(settled: QueueDelivery): void {
    for (const delivery of this.hand.behind(settled)) {
      this.hand.forget(delivery);
      this.hand.leave(delivery);
      delivery.lose();
    }
  }

  /** Its settlement was refused: it is held as before. */
  #takeBack(delivery: QueueDelivery): void {
    if (delivery.lease === this.lease.id) this.hand.hold(delivery);
    else delivery.lose();
  }

  /** Asked at every renewal. */
  #holds(): boolean {
    this.#returns.retry();
    return !this.#isEmpty();
  }

  #lost(): void {
    this.#returns.clear();
    const lost = this.hand.clear();
    for (const delivery of lost) delivery.lose();
    this.#closeWhenEmpty();
    this.#claim();
  }

  #isEmpty(): boolean {
    return this.hand.size + this.#settling + this.#returns.size === 0;
  }

  #closeWhenEmpty(): void {
    if (!this.#stopped || !this.#isEmpty()) return;
    this.lease.close();
    this.connection.wake.remove(this);
    this.#ended();
  }
}
