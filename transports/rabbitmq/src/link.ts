import type { Duplex } from "node:stream";
import { type Environment, type Logger, type Timer, WaybillError } from "@waybill/core";
import { type ChannelModel, connect } from "amqplib";
import { ended } from "./ending.ts";
import { assertRecent, brokerError } from "./errors.ts";
import { gatherWrites } from "./gathered-writes.ts";
import type { Settings } from "./options.ts";

export interface LinkParts {
  readonly settings: Settings;
  readonly environment: Environment;
  readonly logger: Logger;
  /** What the broker shows operators: which process, and what it does on this connection. */
  readonly name: string;
  /** Done on every new connection before anybody else has it. */
  readonly restore?: (model: ChannelModel) => Promise<void>;
}

const firstDelayMs = 100;
const longestDelayMs = 2_000;

/** One connection that comes back by itself, with growing pauses spread by chance, until it is closed. */
export class Link implements AsyncDisposable {
  readonly #parts: LinkParts;
  #model: ChannelModel | undefined;
  /** The connection of now, the one that is made ready, or the one that is being closed. */
  #last: ChannelModel | undefined;
  #next: PromiseWithResolvers<ChannelModel> = unheard();
  #timer: Timer | undefined;
  #attempt = 0;
  #closed = false;

  constructor(parts: LinkParts) {
    this.#parts = parts;
  }

  /** Connects for the first time. Rejects when that fails, with why. */
  async open(): Promise<void> {
    try {
      await this.#connect();
    } catch (error) {
      this.#closed = true;
      throw error;
    }
  }

  get isUp(): boolean {
    return this.#model !== undefined;
  }

  /** Whether this is the connection of now. */
  has(model: ChannelModel): boolean {
    return this.#model === model;
  }

  /** The connection, as soon as there is one. Rejects with CLOSED. */
  model(): Promise<ChannelModel> {
    if (this.#closed) return Promise.reject(closedError());
    return this.#model === undefined ? this.#next.promise : Promise.resolve(this.#model);
  }

  /** Ends the connection without a word, where the other side may be out of reach. */
  destroy(): void {
    if (this.#last === undefined) return;
    // amqplib has no way of its own to give up a connection; without an error it would wait for the next sign of life.
    streamOf(this.#last).destroy(closedError());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    this.#next.reject(closedError());
    const model = this.#model;
    this.#model = undefined;
    if (model !== undefined) await ended(model);
  }

  async #connect(): Promise<void> {
    const { settings, restore, name } = this.#parts;
    const doing = `Connecting to RabbitMQ at ${settings.shownUrl}`;
    let model: ChannelModel;
    try {
      model = await connect(withHeartbeat(settings), {
        ...tlsOf(settings),
        timeout: settings.connectTimeoutMs,
        noDelay: true,
        clientProperties: { connection_name: name },
      });
    } catch (error) {
      throw brokerError(doing, error);
    }
    // Without a listener the first fault would end the process; what it was is told by `close`.
    model.on("error", () => undefined);
    this.#last = model;
    let isOver = false;
    const over = Promise.withResolvers<void>();
    model.on("close", (cause?: Error) => {
      isOver = true;
      over.resolve();
      this.#lost(model, cause);
    });
    try {
      assertRecent(model.connection.serverProperties.version);
      // What restores may wait for something that a connection which breaks meanwhile never answers.
      await Promise.race([restore?.(model), over.promise]);
      if (isOver) throw new Error("the connection broke while it was made ready");
    } catch (error) {
      await ended(model);
      throw brokerError(doing, error);
    }
    if (this.#closed) return void ended(model);
    this.#take(model);
  }

  #take(model: ChannelModel): void {
    const { logger, settings } = this.#parts;
    model.on("blocked", (reason) =>
      logger.warn(`RabbitMQ takes no messages for now: ${reason}. Sends wait.`, {
        url: settings.shownUrl,
      }),
    );
    model.on("unblocked", () => logger.info("RabbitMQ takes messages again."));
    gatherWrites(streamOf(model));
    this.#model = model;
    this.#attempt = 0;
    this.#next.resolve(model);
  }

  #lost(model: ChannelModel, cause: Error | undefined): void {
    if (this.#model !== model) return;
    this.#model = undefined;
    this.#next = unheard();
    const why = cause?.message ?? "the other side closed it";
    this.#parts.logger.warn(`The connection to RabbitMQ is lost: ${why}. Reconnecting.`, {
      url: this.#parts.settings.shownUrl,
    });
    this.#reconnectLater();
  }

  #reconnectLater(): void {
    const { environment, logger } = this.#parts;
    const grown = Math.min(longestDelayMs, firstDelayMs * 2 ** this.#attempt);
    this.#attempt += 1;
    const delayMs = grown * (0.5 + environment.random() / 2);
    this.#timer = environment.timers.set(() => {
      if (this.#closed) return;
      this.#connect().catch((thrown: unknown) => {
        const error = brokerError("Reconnecting to RabbitMQ", thrown);
        logger[error.retryable ? "warn" : "error"](error.message, { attempt: this.#attempt });
        if (!this.#closed) this.#reconnectLater();
      });
    }, delayMs);
  }
}

/** The socket, which amqplib keeps to itself. */
function streamOf({ connection }: ChannelModel): Duplex {
  return (connection as unknown as { readonly stream: Duplex }).stream;
}

export function closedError(): WaybillError {
  return new WaybillError("CLOSED", "The connection to RabbitMQ is closed.");
}

/** Nobody may be waiting for it, and then its rejection must not end the process. */
function unheard(): PromiseWithResolvers<ChannelModel> {
  const next = Promise.withResolvers<ChannelModel>();
  next.promise.catch(() => undefined);
  return next;
}

function withHeartbeat({ url, heartbeatSeconds }: Settings): string {
  const full = new URL(url);
  full.searchParams.set("heartbeat", String(heartbeatSeconds));
  return full.href;
}

function tlsOf({ tls }: Settings): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(tls).map(([name, value]) => [
      name,
      value instanceof Uint8Array ? Buffer.from(value) : value,
    ]),
  );
}
