import type {
  Environment,
  Failure,
  Listener,
  Receiver,
  Settled,
  Settlement,
  Timer,
} from "@waybill/core";
import { NatsDelivery, type Settler } from "./delivery.ts";
import { brokerError, isMissing } from "./errors.ts";
import { typesOf } from "./interest.ts";
import { Intake } from "./intake.ts";
import { type Agreed, Leases } from "./leases.ts";
import { expiryOf, readMessage } from "./message.ts";
import type { Note, Notes } from "./notes.ts";
import { Pull, type Pulled, storedAt } from "./pull.ts";
import { type Settling, missingSource } from "./settling.ts";
import type { Names } from "./topology.ts";
import { Unheard } from "./unheard.ts";

export interface ReceiverParts extends Agreed {
  /** Of a subscription. */
  readonly subscription: string | undefined;
  readonly listener: Listener;
  readonly names: Names;
  readonly notes: Notes;
  readonly settling: Settling;
  readonly environment: Environment;
  /** The consumer is not there any more: makes it again, where this process declared it. */
  readonly restore: () => Promise<void>;
  readonly onEnd: (receiver: NatsReceiver) => void;
}

const reopenMs = 500;

/** One of those who share a durable consumer. */
export class NatsReceiver implements Receiver, Settler {
  readonly #parts: ReceiverParts;
  readonly #leases: Leases;
  #pull: Pull | undefined;
  #opening: Promise<void> | undefined;
  readonly #intake: Intake;
  /** Was looked at, and is not handed over: the bytes of what is held allow no more for now. */
  #waiting: NatsDelivery[] = [];
  /** Of a subscription to several types, those. */
  #types: readonly string[] | undefined;
  #timer: Timer | undefined;
  #paused = false;
  readonly #unheard: Unheard;
  /** One end of intake after the other. */
  #closing: Promise<void> = Promise.resolve();
  #stopping: Promise<void> | undefined;
  #ended = false;

  constructor(parts: ReceiverParts) {
    this.#parts = parts;
    const { environment, settling } = parts;
    this.#unheard = new Unheard(parts);
    this.#leases = new Leases({ environment, settling, freed: () => this.#freed() });
    this.#intake = new Intake({
      ...parts,
      address: parts.place.address,
      types: async (isInDoubt) => {
        if (isInDoubt) await this.#learn();
        return this.#types;
      },
      admit: (message, note) => this.#admit(message, note),
      looked: () => {
        if (this.#wants) this.#handOver();
        this.#ask();
      },
      fault: (error) => this.#fault(error),
    });
    this.#open();
  }

  pause(): void {
    this.#paused = true;
    void this.#endPull();
  }

  resume(): void {
    if (!this.#paused || this.#stopping !== undefined) return;
    this.#paused = false;
    this.#open();
  }

  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  /** Gives everything back at once, the attempts of what was handed over counted. */
  async close(): Promise<void> {
    await this.stop();
    const left = this.#leases.loseAll();
    await Promise.all(
      left.map((delivery) => this.#parts.settling.letGo(delivery, this.#unheard.leftMs)),
    );
    this.#end();
  }

  /** After a reconnect the server knows nothing of what was asked before. What is held stays held. */
  reconnected(): void {
    this.#pull?.forget();
    this.#ask();
  }

  async settle(delivery: NatsDelivery, settlement: Settlement): Promise<Settled> {
    if (!this.#leases.holds(delivery)) return "lockLost";
    const heard = await this.#unheard.over(settlement);
    if (!this.#leases.holds(delivery)) return "lockLost";
    const settled = await this.#parts.settling.settle(delivery, heard);
    // What was stored elsewhere has arrived; that the message itself comes again is a repetition, not a loss.
    return this.#leases.release(delivery) ? settled : "lockLost";
  }

  countRun(delivery: NatsDelivery, failure: Failure): Promise<Settled> {
    if (!this.#leases.holds(delivery)) return Promise.resolve("lockLost");
    return this.#parts.settling.countRun(delivery, failure);
  }

  #open(): void {
    if (this.#pull !== undefined) return;
    this.#opening ??= this.#tryToOpen().finally(() => {
      this.#opening = undefined;
      if (this.#pull === undefined && this.#wants) this.#reopenLater();
    });
  }

  get #wants(): boolean {
    return !this.#paused && this.#stopping === undefined;
  }

  async #tryToOpen(): Promise<void> {
    const { link, place, environment } = this.#parts;
    try {
      await this.#learn();
      if (!this.#wants) return;
      this.#pull = new Pull({
        connection: link.connection,
        stream: place.stream,
        consumer: place.consumer,
        now: () => environment.clock.monotonic(),
        message: (message) => this.#intake.arrive(message),
        ended: () => this.#intake.soon(),
        gone: () => void this.#gone(),
      });
      this.#ask();
    } catch (thrown) {
      if (isMissing(thrown))
        await this.#parts.restore().catch((error: unknown) => this.#fault(error));
      this.#fault(isMissing(thrown) ? missingSource(place.address, thrown) : thrown);
    }
  }

  async #learn(): Promise<void> {
    const { place } = this.#parts;
    const { description } = await this.#leases.agree(this.#parts);
    if (place.kind === "subscription") this.#types = typesOf(description);
  }

  #reopenLater(): void {
    this.#timer?.cancel();
    this.#timer = this.#parts.environment.timers.set(() => {
      if (this.#wants) this.#open();
    }, reopenMs);
  }

  async #gone(): Promise<void> {
    await this.#endPull();
    if (this.#wants) this.#open();
  }

  #endPull(): Promise<void> {
    const asksUntil = this.#pull?.asksUntil ?? 0;
    const silent = this.#closing.then(() => this.#hearOut());
    // Stands at once: what is given back meanwhile has to heed it.
    this.#closing = this.#giveUp(this.#unheard.note(asksUntil, silent));
    return this.#closing;
  }

  /** What comes to its end here was sent to this receiver, and is still taken in. */
  async #hearOut(): Promise<void> {
    await this.#opening;
    const pull = this.#pull;
    this.#pull = undefined;
    await pull?.end();
  }

  async #giveUp(dropped: Promise<void>): Promise<void> {
    await dropped;
    await this.#intake.look();
    await this.#returnWaiting();
    // Who resumed while it was still opening was opened for nothing.
    if (this.#wants) this.#open();
  }

  async #returnWaiting(): Promise<void> {
    const back = this.#waiting.splice(0);
    for (const delivery of back) this.#leases.release(delivery);
    const returned = back.map((each) =>
      this.#parts.settling
        .giveBack(each, this.#unheard.leftMs)
        .catch((error) => this.#fault(error)),
    );
    await Promise.all(returned);
  }

  async #stop(): Promise<void> {
    this.#timer?.cancel();
    this.#unheard.leave();
    // `#stopping` stands before anything is waited for.
    await Promise.resolve();
    await this.#endPull();
    if (this.#leases.size === 0) this.#end();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#timer?.cancel();
    this.#leases.close();
    this.#parts.onEnd(this);
  }

  #freed(): void {
    if (this.#stopping !== undefined) {
      if (this.#leases.size === 0 && this.#pull === undefined) this.#end();
      return;
    }
    this.#handOver();
    this.#ask();
  }

  #ask(): void {
    const { options } = this.#parts;
    const pull = this.#pull;
    if (pull === undefined || !this.#wants) return;
    if (this.#leases.size > 0 && this.#leases.bytes >= options.prefetchBytes) return;
    const { outstanding } = pull;
    const room = options.prefetch - this.#leases.size - this.#intake.size - outstanding;
    // Ends before the locks of a process that stands still, so that what it loses is not sent to it again. Not for each single message, unless nothing is asked for.
    if (room < 1 || (outstanding > 0 && room < options.prefetch / 4)) return;
    pull.request(room, this.#leases.lockMs / 2);
  }

  #admit(message: Pulled, note: Note): void {
    const { environment, place, settling } = this.#parts;
    const at = storedAt(message);
    const read = readMessage(message.raw, { at, name: `${place.stream}.${message.sequence}` });
    const leasedAt = environment.clock.monotonic();
    const { address } = place;
    const delivery = new NatsDelivery({ address, message, read, note, leasedAt, settler: this });
    const earlyMs = (read.notBefore ?? 0) - environment.clock.now();
    if (earlyMs > 0)
      void settling.giveBack(delivery, earlyMs).catch((error: unknown) => this.#fault(error));
    else {
      this.#leases.take(delivery);
      this.#waiting.push(delivery);
    }
  }

  #handOver(): void {
    const { options, environment, listener } = this.#parts;
    const now = environment.clock.now();
    const batch: NatsDelivery[] = [];
    let taken = 0;
    for (const delivery of this.#waiting) {
      const { handedBytes, handed } = this.#leases;
      if (handed > 0 && handedBytes + delivery.bytes > options.prefetchBytes) break;
      taken += 1;
      if (!this.#leases.hand(delivery)) continue;
      if ((delivery.read.notAfter ?? Infinity) < now) this.#expire(delivery);
      else batch.push(delivery);
    }
    if (taken > 0) this.#waiting = this.#waiting.slice(taken);
    if (batch.length > 0) listener.deliver(batch);
  }

  /** What has waited too long is set aside when it comes to a receiver: JetStream's own age limit would lose it. */
  #expire(delivery: NatsDelivery): void {
    const failure = expiryOf(delivery.read, delivery.attempt - 1);
    delivery
      .settle(delivery.read.discardExpired ? { kind: "complete" } : { kind: "deadLetter", failure })
      .catch((error: unknown) => this.#fault(error));
  }

  #fault(error: unknown): void {
    if (this.#stopping === undefined)
      this.#parts.listener.fault(
        brokerError(`Receiving from "${this.#parts.place.address}"`, error),
      );
  }
}
