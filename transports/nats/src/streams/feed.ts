import type { Environment } from "@waybill/core";
import { AckPolicy, DeliverPolicy, ReplayPolicy } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import type { Link } from "../link.ts";
import { Pull, type Pulled } from "../pull.ts";

export interface FeedParts {
  readonly link: Link;
  readonly environment: Environment;
  /** Of the partition. */
  readonly stream: string;
  /** Most items that wait here for a place with a handler, and most bytes of them; one is always let in. */
  readonly itemsMax: number;
  readonly bytesMax: number;
  readonly arrived: () => void;
  /** The partition cannot be read for now. */
  readonly fault: (error: unknown) => void;
}

const waitMs = 2_000;
const reopenMs = 500;
/** The server forgets the consumer of a process that died. */
const forgottenMs = 60_000;

/** What comes next in a partition, read ahead from an offset on. It changes nothing on the server: the cursor alone says what is done. */
export class Feed {
  readonly #parts: FeedParts;
  #items: Pulled[] = [];
  #bytes = 0;
  #pull: Pull | undefined;
  #consumer: string | undefined;
  /** The sequence to go on with after what is here. */
  #next = 1;
  #expectedTurn = 1;
  #waitsForRoom = false;
  /** The next one is larger than what is allowed: it comes alone. */
  #isWide = false;
  /** Counts the attempts to open, so that a late one knows that it is. */
  #opened = 0;

  constructor(parts: FeedParts) {
    this.#parts = parts;
  }

  /** Forgets what is here and goes on from that offset. */
  from(offset: number): void {
    this.#items = [];
    this.#bytes = 0;
    this.#next = offset + 1;
    this.#reopen();
  }

  /** The connection was lost, and with it what was on its way. */
  reconnected(): void {
    if (this.#opened > 0) this.#reopen();
  }

  close(): void {
    this.#opened += 1;
    this.#items = [];
    this.#end();
  }

  peek(): Pulled | undefined {
    return this.#items[0];
  }

  shift(): void {
    const item = this.#items.shift();
    this.#bytes -= item?.raw.data.byteLength ?? 0;
    this.ask();
  }

  ask(): void {
    const { itemsMax, bytesMax } = this.#parts;
    if (this.#items.length === 0) this.#waitsForRoom = false;
    if (this.#pull === undefined || this.#waitsForRoom || this.#pull.outstanding > 0) return;
    const room = itemsMax - this.#items.length;
    const roomBytes = bytesMax - this.#bytes;
    if (this.#items.length === 0 && this.#isWide) this.#pull.request(1, waitMs);
    else if (room > 0 && roomBytes > 0) this.#pull.request(room, waitMs, roomBytes);
  }

  #reopen(): void {
    this.#end();
    void this.#open(++this.#opened);
  }

  async #open(turn: number): Promise<void> {
    const { link, stream, environment, fault } = this.#parts;
    try {
      const { name } = await link.jetstream.consumers.add(stream, {
        ack_policy: AckPolicy.None,
        replay_policy: ReplayPolicy.Instant,
        deliver_policy: DeliverPolicy.StartSequence,
        opt_start_seq: this.#next,
        inactive_threshold: nanos(forgottenMs),
        mem_storage: true,
        num_replicas: 1,
      });
      if (turn !== this.#opened) return this.#forget(name);
      this.#consumer = name;
      this.#expectedTurn = 1;
      this.#pull = new Pull({
        connection: link.connection,
        stream,
        consumer: name,
        now: () => environment.clock.monotonic(),
        message: (message) => {
          if (turn === this.#opened) this.#take(message);
        },
        ended: () => this.ask(),
        oversize: () => {
          this.#waitsForRoom = true;
          this.#isWide = true;
          this.ask();
        },
        gone: () => {
          if (turn === this.#opened) this.#reopen();
        },
      });
      this.ask();
    } catch (thrown) {
      if (turn !== this.#opened) return;
      fault(thrown);
      environment.timers.set(() => {
        if (turn === this.#opened) this.#reopen();
      }, reopenMs);
    }
  }

  #take(message: Pulled): void {
    // One in between was lost on the way: read again from there.
    if (message.turn !== this.#expectedTurn) return this.#reopen();
    this.#expectedTurn += 1;
    this.#isWide = false;
    this.#next = message.sequence + 1;
    this.#items.push(message);
    this.#bytes += message.raw.data.byteLength;
    this.ask();
    this.#parts.arrived();
  }

  #end(): void {
    const pull = this.#pull;
    const consumer = this.#consumer;
    this.#pull = undefined;
    this.#consumer = undefined;
    void pull?.end();
    if (consumer !== undefined) this.#forget(consumer);
  }

  #forget(consumer: string): void {
    const { link, stream } = this.#parts;
    void link.jetstream.consumers.delete(stream, consumer).catch(() => undefined);
  }
}
