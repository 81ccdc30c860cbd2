import { assertReceiving } from "../adapter/declaring.ts";
import { WaybillError } from "../errors.ts";
import {
  type Capabilities,
  type Listener,
  type Outgoing,
  type ReceiveOptions,
  type Receiver,
  type Source,
  type Topology,
  type Transport,
  type TransportHost,
  permanentPart,
} from "../ports/transport.ts";
import { discrepanciesOf } from "../wiring/discrepancies.ts";
import { refuseDiscrepancies } from "../wiring/verifying.ts";
import { forwardHopsMax } from "../wiring/forwarding.ts";
import { type Declarer, declare } from "./declare.ts";
import type { Engine } from "./engine.ts";
import { MemoryInspection } from "./inspection.ts";
import { knownTopology } from "./known.ts";
import { MemoryReceiver } from "./receiver.ts";
import { sessionStateBytesMax } from "../handling/session-state.ts";

/** One bus's connection to an in-memory broker: what a process is to a broker on the network. */
export class MemoryTransport implements Transport, Declarer {
  readonly name = "memory";
  readonly capabilities: Capabilities;
  readonly inspection: MemoryInspection;
  readonly instance: string;
  readonly temporaries: (() => void)[] = [];
  readonly #engine: Engine;
  readonly #host: TransportHost;
  readonly #receivers = new Set<MemoryReceiver>();
  readonly #onClosed: (transport: MemoryTransport) => void;
  #closed = false;
  /** Sends that were answered at once since the last pause. */
  #sent = 0;
  #turn: Promise<void> | undefined;

  constructor(engine: Engine, host: TransportHost, onClosed: (transport: MemoryTransport) => void) {
    this.#engine = engine;
    this.#host = host;
    this.#onClosed = onClosed;
    this.instance = host.instance;
    this.capabilities = { ...capabilities, bodyBytesMax: engine.kernel.limits.bodyBytesMax };
    this.inspection = new MemoryInspection(engine, () => this.#assertOpen());
  }

  async declare(topology: Topology): Promise<void> {
    this.#assertOpen();
    if (this.#host.mayCreate === false)
      refuseDiscrepancies(
        this.name,
        discrepanciesOf(permanentPart(topology), knownTopology(this.#engine)),
      );
    declare(this.#engine, topology, this);
  }

  /** Stored when it returns. A sender that never pauses is answered later now and then, so that receivers and timers have their turns. */
  send(batch: readonly Outgoing[]): Promise<void> {
    try {
      this.#assertOpen();
      this.#store(batch, 0);
    } catch (error) {
      // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- passed on as it came
      return Promise.reject(error);
    }
    this.#sent += 1;
    return this.#sent < sendsPerTurn ? stored : this.#nextTurn();
  }

  receive(source: Source, options: ReceiveOptions, listener: Listener): Receiver {
    this.#assertOpen();
    assertReceiving(options);
    const supply = this.#engine.supply(source, options.start ?? "earliest");
    const { environment } = this.#host;
    const dispatch = (batch: readonly Outgoing[], credit: number): void =>
      this.#store(batch, credit);
    const parts = { kernel: this.#engine.kernel, environment, supply, options, listener, dispatch };
    const receiver: MemoryReceiver = new MemoryReceiver({
      ...parts,
      onEnd: () => this.#receivers.delete(receiver),
    });
    this.#receivers.add(receiver);
    return receiver;
  }

  /** Stops all receivers and gives back what is not settled, its attempt counted. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#leave();
    for (const receiver of this.#receivers) receiver.close();
  }

  /** Leaves without a word, as a killed process does: its locks run out by themselves. */
  kill(): void {
    if (this.#closed) return;
    for (const receiver of this.#receivers) receiver.kill();
    this.#leave();
  }

  #nextTurn(): Promise<void> {
    return (this.#turn ??= new Promise((resolve) => {
      this.#host.environment.timers.soon(() => {
        this.#turn = undefined;
        this.#sent = 0;
        resolve();
      });
    }));
  }

  #store(batch: readonly Outgoing[], credit: number): void {
    const { unrouted, duplicates } = this.#engine.send(batch, credit);
    for (const { envelope, to } of unrouted) this.#host.unrouted(envelope, to.name);
    for (const { envelope, to } of duplicates) this.#host.duplicate?.(envelope, to);
  }

  #leave(): void {
    this.#closed = true;
    this.#engine.owners.release(this);
    for (const drop of this.temporaries.splice(0)) drop();
    this.#onClosed(this);
  }

  #assertOpen(): void {
    if (!this.#closed) return;
    throw new WaybillError(
      "CLOSED",
      "This connection to the in-memory broker is closed. Open another bus to go on.",
    );
  }
}

/** Answering at once keeps the sender's microtasks going, and nothing else runs before they end. */
const sendsPerTurn = 64;
const stored: Promise<void> = Promise.resolve();

const capabilities: Omit<Capabilities, "bodyBytesMax"> = {
  durability: "memory",
  order: "queue",
  delayMsMax: Number.MAX_SAFE_INTEGER,
  delayStepMs: 1,
  lock: "lease",
  sessions: true,
  keyOrder: "sessions",
  sessionStateBytesMax,
  dedupWindowMs: Number.MAX_SAFE_INTEGER,
  filters: ["eq", "compare", "in", "prefix", "exists", "logic"],
  ruleActions: true,
  deadLetters: "transport",
  atomicSettle: true,
  atomicBatch: true,
  // As far as `durability` goes: the count outlives the receiver, as the message does.
  attemptsPersisted: true,
  attemptsInPlace: true,
  releaseCounts: false,
  owners: true,
  verifies: "everything",
  streams: true,
  forwardHopsMax,
  pause: true,
  conservation: "exact",
  seek: true,
  lists: ["ready", "inFlight", "scheduled", "deferred", "dead"],
  purges: ["ready", "scheduled", "deferred", "dead"],
  follows: true,
  counts: ["inFlight", "scheduled", "deferred", "oldestReadyMs", "receivers"],
};
