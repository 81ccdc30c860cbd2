import type { Environment } from "../ports/environment.ts";
import type {
  Listener,
  Outgoing,
  ReceiveOptions,
  Receiver,
  Session,
  Settled,
  Settlement,
} from "../ports/transport.ts";
import { type DeliveryHolder, MemoryDelivery } from "./delivery.ts";
import { Hand } from "./hand.ts";
import type { Kernel } from "./kernel.ts";
import { Lease } from "./lease.ts";
import type { Message } from "./message.ts";
import type { Receivers } from "./receivers.ts";
import { SessionHandle, keepState } from "./session-handle.ts";
import type { Sessions } from "./sessions.ts";

/** Where a receiver's messages come from: a queue, a subscription, a group of a stream. */
export interface Supply {
  readonly address: string;
  readonly sessions?: Sessions | undefined;
  /** Those that compete for it. */
  readonly receivers: Receivers;
  attach(receiver: MemoryReceiver): void;
  detach(receiver: MemoryReceiver): void;
  /** Hands the receiver what it may have now, through `receiver.take`, each with its attempt counted. */
  serve(receiver: MemoryReceiver): void;
  /** Whether something waits that this receiver would take. A turn without it would turn for ever. */
  hasWorkFor(receiver: MemoryReceiver): boolean;
  /** Throws when this kind of source cannot do what the settlement asks. */
  check(settlement: Settlement): void;
  settle(message: Message, settlement: Settlement): void;
  /** Takes a message back whose lock was lost: at its old place, its attempt counted. */
  giveBack(message: Message): void;
}

export interface ReceiverParts {
  readonly kernel: Kernel;
  /** The receiving process's own: when it stalls, its locks run out. */
  readonly environment: Environment;
  readonly supply: Supply;
  readonly options: ReceiveOptions;
  readonly listener: Listener;
  /** It is stopped and holds nothing any more. */
  readonly onEnd: () => void;
  /** Stores what leaves with a settlement, all or nothing; `credit` is the body that the settled message frees. */
  readonly dispatch: (batch: readonly Outgoing[], credit: number) => void;
}

const settled: Promise<Settled> = Promise.resolve("settled");
const lockLost: Promise<Settled> = Promise.resolve("lockLost");

/** One consumer in one process: takes batches while it has room, and answers for what it holds. */
export class MemoryReceiver implements Receiver, DeliveryHolder {
  readonly #parts: ReceiverParts;
  readonly #hand = new Hand();
  readonly #lease: Lease;
  /** Counted by the sessions themselves. */
  sessionsHeld = 0;
  #batch: MemoryDelivery[] = [];
  #waking = false;
  #paused = false;
  #stopped = false;
  #dead = false;

  constructor(parts: ReceiverParts) {
    this.#parts = parts;
    this.#lease = new Lease({
      kernel: parts.kernel,
      environment: parts.environment,
      lockMs: parts.options.lockMs,
      onRunOut: (now) => this.#onRunOut(now),
      onReturn: () => this.#stopped || parts.supply.attach(this),
      needed: () => !this.#stopped || this.#hand.count > 0,
      onEnd: parts.onEnd,
    });
    parts.supply.attach(this);
  }

  get start(): "earliest" | "latest" {
    return this.#parts.options.start ?? "earliest";
  }

  get sessionsMax(): number {
    return this.#parts.options.sessions ?? this.#parts.options.prefetch;
  }

  /** Messages of one session that it takes at once, so that its sessions share what it has room for. */
  get perSession(): number {
    return Math.max(1, Math.floor(this.#parts.options.prefetch / this.sessionsMax));
  }

  get open(): boolean {
    return (
      !this.#paused &&
      !this.#stopped &&
      !this.#dead &&
      !this.#parts.supply.receivers.halted &&
      this.#hand.count < this.#parts.options.prefetch
    );
  }

  /** Whether it would take one more message with a body of that size. One is always let through. */
  fits(bytes: number): boolean {
    const { prefetch, prefetchBytes } = this.#parts.options;
    return (
      this.#hand.count === 0 ||
      (this.#hand.count < prefetch && this.#hand.bytes + bytes <= prefetchBytes)
    );
  }

  /** Asks for a turn, soon. Many calls make one turn, so that messages travel in batches. */
  wake(): void {
    if (this.#waking || !this.open) return;
    this.#waking = true;
    this.#parts.kernel.activity.waking();
    this.#parts.environment.timers.soon(this.#turn);
  }

  /** Locks a message for this receiver and puts it into the batch of this turn. */
  take(message: Message, monotonic: number): void {
    const delivery = new MemoryDelivery(message, this, monotonic);
    this.#hand.add(delivery);
    this.#parts.kernel.activity.delivered();
    this.#batch.push(delivery);
  }

  session(delivery: MemoryDelivery): Session | undefined {
    const { session } = delivery.message;
    const { sessions } = this.#parts.supply;
    if (session === undefined || sessions === undefined) return undefined;
    return new SessionHandle(session, sessions, () => this.holds(delivery));
  }

  holds(delivery: MemoryDelivery): boolean {
    return !delivery.over && !this.#dead;
  }

  /** Gives back, uncounted, what it holds of the session behind that message. */
  returnBehind({ session, order }: Message): void {
    for (const delivery of this.#hand.all()) {
      const { message } = delivery;
      if (message.session !== session || message.order <= order) continue;
      message.attempt -= 1;
      this.#lose(delivery);
    }
  }

  /** Loses the locks of what passes. */
  fence(passes: (message: Message) => boolean): void {
    for (const delivery of this.#hand.all()) if (passes(delivery.message)) this.#lose(delivery);
  }

  held(): readonly Message[] {
    return this.#hand.all().map((delivery) => delivery.message);
  }

  settle(delivery: MemoryDelivery, settlement: Settlement): Promise<Settled> {
    if (!this.holds(delivery)) return lockLost;
    const { kernel, supply } = this.#parts;
    try {
      supply.check(settlement);
      if (settlement.kind === "complete") this.#complete(delivery, settlement);
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error(String(error)));
    }
    this.#hand.drop(delivery);
    supply.settle(delivery.message, settlement);
    if (supply.hasWorkFor(this)) this.wake();
    kernel.activity.settled();
    return settled;
  }

  /** All of it or, when it throws, nothing. */
  #complete(
    { message }: MemoryDelivery,
    { send = [], state }: Extract<Settlement, { kind: "complete" }>,
  ): void {
    const { dispatch, supply } = this.#parts;
    const { session } = message;
    const undo =
      state === undefined ? undefined : keepState({ session, sessions: supply.sessions }, state);
    try {
      if (send.length > 0) dispatch(send, message.parcel.bytes);
    } catch (error) {
      undo?.();
      throw error;
    }
  }

  stop(): Promise<void> {
    this.#stopped = true;
    this.#parts.supply.detach(this);
    return Promise.resolve();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    if (this.#parts.supply.hasWorkFor(this)) this.wake();
  }

  /** Stops, and gives back at once what is not settled. */
  close(): void {
    void this.stop();
    for (const delivery of this.#hand.all()) this.#lose(delivery);
    this.#lease.end();
  }

  /** As if its process had been killed: takes nothing, renews nothing, says nothing. */
  kill(): void {
    this.#dead = true;
    this.#lease.silence();
    // What a dead process holds is not on its way any more.
    for (let left = this.#hand.count; left > 0; left--) this.#parts.kernel.activity.settled();
  }

  readonly #turn = (): void => {
    const { kernel, supply, listener } = this.#parts;
    this.#waking = false;
    if (this.open && !this.#lease.lapsed) {
      supply.serve(this);
      const batch = this.#batch;
      this.#batch = [];
      if (batch.length > 0) listener.deliver(batch);
      if (supply.hasWorkFor(this)) this.wake();
    }
    kernel.activity.awake();
  };

  #onRunOut(now: number): number {
    let next = Infinity;
    for (const delivery of this.#hand.all()) {
      const until = this.#lease.lockedUntil(delivery.lockedAt);
      if (until <= now) this.#lose(delivery);
      else next = Math.min(next, until);
    }
    // Others take its place until its renewal comes through again.
    if (this.#lease.lapsed) this.#parts.supply.detach(this);
    return next;
  }

  #lose(delivery: MemoryDelivery): void {
    if (delivery.over) return;
    this.#hand.drop(delivery);
    this.#parts.supply.giveBack(delivery.message);
    if (this.#dead) return;
    delivery.onLockLost?.();
    this.#parts.kernel.activity.settled();
  }
}
