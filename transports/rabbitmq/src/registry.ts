import {
  type Environment,
  type Logger,
  type Topology,
  type WaybillError,
  permanentPart,
} from "@waybill/core";
import type { Link } from "./link.ts";
import type { Making } from "./making.ts";
import type { Declared } from "./places.ts";
import type { Parcel } from "./publisher.ts";
import { type Entry, SharedLog } from "./shared-log.ts";

export interface RegistryParts {
  readonly queue: string;
  readonly link: Link;
  readonly environment: Environment;
  readonly logger: Logger;
  readonly send: (parcel: Parcel) => Promise<void>;
  /** Makes the log where it is missing, if this user may. */
  readonly make: () => Promise<void>;
}

const mebibyte = 1024 * 1024;
const logArguments: Readonly<Record<string, unknown>> = {
  "x-queue-type": "stream",
  "x-max-length-bytes": 4 * mebibyte,
  "x-stream-max-segment-size-bytes": mebibyte,
};
/** Bytes after which a reader writes down once more all that it knows: far fewer than the log keeps. */
const repeatedAfter = mebibyte;
/** What RabbitMQ keeps of an entry beside its text, about. */
const entryOverhead = 100;
/** Addresses of one entry of the log. */
const entryMax = 1_000;
/** Addresses remembered in this process; the oldest leave first. */
const rememberedMax = 100_000;

/** One address; the name of a subscription stands behind that of its topic. */
type Line = readonly [kind: keyof Declared, name: string, subscription?: string];

/**
 * Which addresses the processes of a system have declared, because AMQP has no list of queues. Every process writes down its own when it declares them; read by
 * who asks for all.
 */
export class Registry {
  readonly #parts: RegistryParts;
  /** By their text, latest last. */
  readonly #lines = new Map<string, Line>();
  #log: SharedLog | undefined;
  #synced: Promise<void> | undefined;
  #unrepeated = 0;
  #isTold = false;

  constructor(parts: RegistryParts) {
    this.#parts = parts;
  }

  static async declare(channel: Making, queue: string): Promise<void> {
    await channel.assertQueue(queue, { durable: true, arguments: logArguments });
  }

  /** Resolves when it is written down, or cannot be: then others do not see these addresses among all. */
  async add(topology: Topology): Promise<void> {
    const lines = linesOf(permanentPart(topology));
    if (lines.length === 0) return;
    await this.#try(async () => {
      await this.#parts.make();
      await this.#write(lines);
    });
  }

  /** What all processes have declared, as far as it is written down. What was deleted since may be among it. */
  async declared(): Promise<Declared> {
    await this.#try(() => (this.#synced ??= this.#sync()));
    const all = [...this.#lines.values()];
    const named = (kind: keyof Declared) =>
      all.filter(([each]) => each === kind).map(([, name]) => ({ name }));
    return {
      queues: named("queues"),
      topics: named("topics"),
      streams: named("streams"),
      subscriptions: all
        .filter(([kind]) => kind === "subscriptions")
        .map(([, topic, name = ""]) => ({ topic, name })),
    };
  }

  async close(): Promise<void> {
    await this.#log?.close();
  }

  async #sync(): Promise<void> {
    const { queue, link, environment, send, make } = this.#parts;
    try {
      await make();
      this.#log ??= new SharedLog({
        queue,
        link,
        environment,
        send,
        take: (entry, { bytes }) => this.#take(entry, bytes),
        fault: (error) => this.#tell(error),
      });
      // From now on what others write comes by itself.
      await this.#log.sync();
    } catch (error) {
      this.#synced = undefined;
      throw error;
    }
  }

  #take({ declared, all }: Entry, bytes: number): void {
    this.#unrepeated = all === true ? 0 : this.#unrepeated + bytes + entryOverhead;
    for (const line of Array.isArray(declared) ? (declared as readonly unknown[]) : [])
      if (isLine(line)) this.#remember(line);
    if (this.#unrepeated < repeatedAfter) return;
    this.#unrepeated = 0;
    void this.#try(() => this.#write([...this.#lines.values()], { all: true }));
  }

  #remember(line: Line): void {
    const text = JSON.stringify(line);
    this.#lines.delete(text);
    this.#lines.set(text, line);
    const [oldest] = this.#lines.keys();
    if (this.#lines.size > rememberedMax && oldest !== undefined) this.#lines.delete(oldest);
  }

  async #write(lines: readonly Line[], more: Entry = {}): Promise<void> {
    const options = { persistent: true, mandatory: true, contentType: "application/json" };
    for (let from = 0; from < lines.length; from += entryMax) {
      const entry: Entry = { ...more, declared: lines.slice(from, from + entryMax) };
      const content = Buffer.from(JSON.stringify(entry));
      await this.#parts.send({ way: { exchange: "", key: this.#parts.queue }, content, options });
    }
  }

  async #try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#tell(error as WaybillError);
    }
  }

  #tell(error: WaybillError): void {
    if (this.#isTold || error.code === "CLOSED") return;
    this.#isTold = true;
    this.#parts.logger.warn(
      `Each process may see its own addresses only, and the dead letters there: ${error.message}`,
      { code: error.code },
    );
  }
}

function linesOf({ queues, topics, subscriptions, streams }: Topology): readonly Line[] {
  return [
    ...queues.map(({ name }): Line => ["queues", name]),
    ...topics.map(({ name }): Line => ["topics", name]),
    ...streams.map(({ name }): Line => ["streams", name]),
    ...subscriptions.map(({ topic, name }): Line => ["subscriptions", topic, name]),
  ];
}

function isLine(value: unknown): value is Line {
  if (!Array.isArray(value)) return false;
  const [kind, name, subscription] = value as readonly unknown[];
  if (typeof name !== "string") return false;
  return kind === "subscriptions"
    ? typeof subscription === "string"
    : kind === "queues" || kind === "topics" || kind === "streams";
}
