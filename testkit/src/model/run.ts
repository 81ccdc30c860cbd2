import type {
  Delivery,
  MessageState,
  Source,
  StoredMessage,
  TransportFactory,
} from "@waybill/core";
import { addressOf } from "@waybill/core";
import type { FakeEnvironment } from "../environment.ts";
import { stallingEnvironment } from "../stall.ts";
import { bodyText, complete } from "../suite/probe.ts";
import type { Client, Held, Reading } from "./client.ts";
import { type Moment, comeBack } from "./item.ts";
import { places, shortGroup, sources, streams } from "./places.ts";
import { fail } from "./violation.ts";
import { World } from "./world.ts";

/** A broker of its own for one run, on a clock that the run moves. */
export interface ModelSubject {
  readonly factory: TransportFactory;
  readonly environment: FakeEnvironment;
  /** How late the broker may be with what time moves, in milliseconds. */
  readonly slackMs: number;
  /** The same where nobody waits: what ends with a dead process, and retention. */
  readonly slowMs: number;
  /** As if that process were killed. Default: it stalls for ever. */
  readonly crash?: (instance: string) => void;
  dispose(): Promise<void>;
}

/** What every receiver of the model locks for. */
export const lockMs = 3_000;

const states: readonly MessageState[] = ["ready", "inFlight", "scheduled", "deferred", "dead"];
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const turnsMax = 50;

/** The real broker beside the model, and everything that the commands share. */
export class Run {
  readonly world: World = new World();
  readonly subject: ModelSubject;
  readonly clients: Client[] = [];
  /** Newest last; what was settled stays for a while, to be settled once more. */
  readonly held: Held[] = [];
  readonly settled: Held[] = [];
  readonly trace: string[] = [];
  /** Their processes have closed. */
  readonly endedQueues: string[] = [];
  readonly #unrouted: string[] = [];
  readonly #duplicates: string[] = [];
  readonly #left: Client[] = [];
  #fault: Error | undefined;
  #opened = 0;
  #ids = 0;
  #finishing = false;
  step = 0;

  private constructor(subject: ModelSubject) {
    this.subject = subject;
  }

  static async begin(subject: ModelSubject): Promise<Run> {
    const run = new Run(subject);
    const base = await run.open();
    await run.finished(base.transport.declare(places));
    // From here on its place says what retention has removed.
    run.receive(base, shortGroup, { prefetch: 1 });
    await run.rest();
    for (const reading of base.readings) await run.finished(reading.receiver.stop());
    base.readings.clear();
    await run.open();
    return run;
  }

  get moment(): Moment {
    const { environment, slackMs, slowMs } = this.subject;
    return { now: environment.clock.now(), step: this.step, slackMs, slowMs };
  }

  id(): string {
    return `m${(this.#ids += 1)}`;
  }

  async open(): Promise<Client> {
    const environment = stallingEnvironment(this.subject.environment);
    const instance = `client${(this.#opened += 1)}`;
    const transport = await this.finished(
      this.subject.factory.open({
        environment,
        logger: silent,
        instance,
        unrouted: (envelope) => void this.#unrouted.push(bodyText({ envelope })),
        duplicate: (envelope) => void this.#duplicates.push(bodyText({ envelope })),
      }),
    );
    const readings = new Set<Reading>();
    const client: Client = { instance, transport, environment, readings, replies: undefined };
    this.clients.push(client);
    return client;
  }

  receive(
    client: Client,
    source: Source,
    { prefetch, sessions = prefetch }: { readonly prefetch: number; readonly sessions?: number },
  ): void {
    const address = addressOf(source);
    if (source.kind === "stream") {
      const others = this.clients.some(({ readings }) =>
        [...readings].some((reading) => addressOf(reading.source) === address),
      );
      if (others) this.world.log(address).unsettle(address);
      this.world.read(address, this.moment);
    }
    const receiver = client.transport.receive(
      source,
      { prefetch, prefetchBytes: 1_000_000, lockMs, sessions },
      {
        deliver: (batch) => {
          for (const delivery of batch) this.#guard(() => this.#deliver(reading, client, delivery));
        },
        fault: (error) =>
          this.#guard(() => fail(`a receiver of ${address} faulted: ${error.message}`)),
      },
    );
    const reading: Reading = { source, prefetch, receiver, paused: false };
    client.readings.add(reading);
  }

  /** Takes a client out of the run; its locks are given back, or run out. */
  remove(client: Client, how: "given back" | "runs out"): void {
    this.clients.splice(this.clients.indexOf(client), 1);
    const { now } = this.moment;
    this.unsettle(client);
    for (const held of this.held.splice(0)) {
      if (held.client !== client) this.held.push(held);
      else if (how === "given back") {
        this.giveBack(held);
        this.settled.push(held);
      } else this.orphan(held, now);
    }
    if (how === "runs out") this.#left.push(client);
    if (client.replies === undefined) return;
    this.world.drop(client.replies, how === "runs out" ? now + this.subject.slowMs : now);
    if (how === "given back") this.endedQueues.push(client.replies);
  }

  /** The groups of this client are about to be read by others. */
  unsettle(client: Client): void {
    for (const { source } of client.readings)
      if (source.kind === "stream") this.world.log(source.name).unsettle(addressOf(source));
  }

  /** It comes again, its attempt counted. */
  giveBack(held: Held): void {
    if (held.item.holder === held) comeBack(held.item, this.moment);
  }

  orphan(held: Held, since: number): void {
    if (held.item.holder !== held) return;
    if (held.item.removed) return comeBack(held.item, this.moment);
    held.item.state = "orphan";
    held.item.holder = undefined;
    held.item.freeFrom = since + Math.floor((2 / 3) * lockMs) - 1;
    held.item.freeBy = since + lockMs + this.subject.slackMs;
  }

  /** Lets everything happen that needs no time. */
  async rest(): Promise<void> {
    await this.subject.environment.advance(0);
    await this.subject.environment.drain();
    if (this.#fault !== undefined) throw this.#fault;
  }

  /** Waits for a promise whose work needs no time. */
  async finished<Value>(work: Promise<Value>): Promise<Value> {
    const call = { done: false };
    const mark = (): void => void (call.done = true);
    work.then(mark, mark);
    for (let turn = 0; turn < turnsMax && !call.done; turn++)
      await this.subject.environment.drain();
    if (!call.done) fail("a call did not end, though nothing waited for time");
    return work;
  }

  /** Holds the whole of the broker against the model. */
  async compare(): Promise<void> {
    await this.rest();
    const { inspection } = (this.clients[0] as Client).transport;
    const listed: (readonly [MessageState, StoredMessage])[] = [];
    for (const state of states) {
      for (const message of await inspection.list({ state, limit: 1_000 }))
        if (state === "dead" || !message.address.includes("@")) listed.push([state, message]);
    }
    this.world.listed(listed, this.moment);
    for (const { name } of streams)
      this.world.log(name).reached(await inspection.groups(name), this.moment);
    this.world.books.check(await inspection.ledger());
    this.#told("unrouted events", this.#unrouted, this.world.unrouted);
    this.#told("duplicates", this.#duplicates, this.world.duplicates);
    for (const held of this.held)
      if (held.lost && held.item.holder === held)
        fail(`the lock of ${held.item.id} was called lost, and it stands`);
  }

  /** Handles all that is left: in the end everything has arrived or stands where it was set aside. */
  async finish(): Promise<void> {
    this.step += 1;
    this.#finishing = true;
    const [{ transport }] = this.clients as [Client];
    for (const address of this.world.ways.resumeAll(this.moment))
      await this.finished(transport.inspection.resume(address));
    for (const { readings } of this.clients)
      for (const reading of readings) reading.receiver.resume();
    for (const held of this.held.splice(0)) this.#complete(held);
    for (const source of sources)
      this.receive(this.clients[0] as Client, source, { prefetch: 1_000 });
    for (const client of this.clients)
      if (client.replies !== undefined)
        this.receive(client, { kind: "queue", name: client.replies }, { prefetch: 1_000 });
    await this.subject.environment.advance(2 * lockMs + 2 * this.subject.slackMs + 5_000);
    await this.compare();
    await this.subject.environment.advance(3_000);
    await this.compare();
    const left = this.world.unfinished();
    if (left !== undefined)
      fail(`${left.id} at ${left.address} never came; the model has it ${left.state}`);
  }

  async close(): Promise<void> {
    for (const { environment } of this.#left) environment.wake();
    for (const { transport } of [...this.clients, ...this.#left])
      await this.finished(Promise.resolve(transport[Symbol.asyncDispose]()));
    await this.subject.dispose();
  }

  #told(what: string, told: readonly string[], expected: readonly string[]): void {
    const [words, expectedWords] = [told.join(" "), expected.join(" ")];
    if (words !== expectedWords) fail(`${what} told: ${words}; expected: ${expectedWords}`);
  }

  #complete(held: Held): void {
    const stands = held.item.holder === held;
    if (stands) this.world.end(held.item);
    held.delivery.settle(complete).then(
      (answer) =>
        this.#guard(() => {
          if (answer !== "settled" && stands) fail(`completing ${held.item.id} answered ${answer}`);
        }),
      (error: unknown) => this.#guard(() => fail(`completing ${held.item.id}: ${String(error)}`)),
    );
  }

  #deliver(reading: Reading, client: Client, delivery: Delivery): void {
    const token = { receiver: reading };
    const address = addressOf(reading.source);
    const id = bodyText(delivery);
    const { attempt, position } = delivery;
    const failure = delivery.failure?.message;
    const item = this.world.deliver(
      { address, id, attempt, failure, position, token },
      this.moment,
    );
    const held: Held = { ...token, delivery, item, client, lost: false, refused: false };
    item.holder = held;
    if ((item.handle ?? delivery.handle) !== delivery.handle)
      fail(`${id} came with the handle ${delivery.handle} instead of ${item.handle}`);
    item.handle = delivery.handle;
    delivery.onLockLost = () => void (held.lost = true);
    if (item.kind === "session") this.#readState(held);
    if (this.#finishing) return this.#complete(held);
    this.held.push(held);
    const holds = this.held.filter(
      (each) => each.receiver === reading && each.item.holder === each && !each.refused,
    ).length;
    if (holds > reading.prefetch) fail(`a receiver with prefetch ${reading.prefetch} got ${holds}`);
  }

  /** What its session keeps is there with the delivery, whoever wrote it. */
  #readState({ delivery, item }: Held): void {
    const expected = this.world.kept(item);
    const told = (state: unknown): void => {
      if (state !== expected)
        fail(`${item.id} came with the state ${String(state)}, not ${expected}`);
    };
    const read = delivery.session?.read() ?? Promise.resolve("of no session");
    read.then(
      (state) => this.#guard(() => told(state)),
      (error: unknown) => this.#guard(() => told(error)),
    );
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#fault ??= error as Error;
    }
  }
}
