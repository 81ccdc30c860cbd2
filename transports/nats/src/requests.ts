import type { Environment, Timer } from "@waybill/core";
import {
  type Msg,
  type MsgHdrs,
  type NatsConnection,
  createInbox,
  errors,
} from "@nats-io/transport-node";

export interface Ask {
  readonly timeoutMs: number;
  readonly headers?: MsgHdrs;
}

interface Pending {
  readonly subject: string;
  /** Monotonic milliseconds. */
  readonly endsAt: number;
  readonly resolve: (answer: Msg) => void;
  readonly reject: (error: Error) => void;
}

const unheard = 503;
const shortestSweepMs = 10;
const radix = 36;

/**
 * Requests of one connection, their answers on one subscription and their ends on one timer. The client's own make a timer and two errors with stacks for
 * each, which is most of what sending or acknowledging a message would cost. What is rejected is rejected as by them.
 */
export class Requests {
  readonly #connection: NatsConnection;
  readonly #environment: Environment;
  readonly #inbox = createInbox();
  /** By what their answers' subjects end with. */
  readonly #pending = new Map<string, Pending>();
  #listens = false;
  #number = 0;
  #sweep: { readonly at: number; readonly timer: Timer } | undefined;

  constructor(connection: NatsConnection, environment: Environment) {
    this.#connection = connection;
    this.#environment = environment;
    void connection
      .closed()
      .then(() => this.#rejectAll(() => true, new errors.ClosedConnectionError()));
  }

  /** Resolves with the first answer. Rejects when nobody listens there, when none comes in time, when the server forbids it, and when the connection closes. */
  ask(subject: string, data: Uint8Array | string, { timeoutMs, headers }: Ask): Promise<Msg> {
    return new Promise((resolve, reject) => {
      if (!this.#listens) this.#listen();
      const name = (++this.#number).toString(radix);
      const options = {
        reply: `${this.#inbox}.${name}`,
        ...(headers !== undefined && { headers }),
      };
      this.#connection.publish(subject, data, options);
      const endsAt = this.#environment.clock.monotonic() + timeoutMs;
      this.#pending.set(name, { subject, endsAt, resolve, reject });
      this.#sweepBy(endsAt);
    });
  }

  /** The server does not let this user publish there. */
  refused(error: Error): void {
    if (!(error instanceof errors.PermissionViolationError) || error.operation !== "publish")
      return;
    this.#rejectAll(({ subject }) => subject === error.subject, error);
  }

  /** The line broke: what was asked on it is answered no more. */
  lost(): void {
    this.#rejectAll(
      () => true,
      new errors.ConnectionError("the line broke before the answer came"),
    );
  }

  #listen(): void {
    this.#connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error === null) return this.#answered(message);
        // It has ended with this; the next request tries again.
        this.#listens = false;
        this.#rejectAll(() => true, error);
      },
    });
    this.#listens = true;
  }

  #answered(message: Msg): void {
    const name = message.subject.slice(this.#inbox.length + 1);
    const pending = this.#pending.get(name);
    if (pending === undefined) return;
    this.#pending.delete(name);
    if (message.data.byteLength === 0 && message.headers?.code === unheard)
      pending.reject(new errors.NoRespondersError(pending.subject));
    else pending.resolve(message);
  }

  #rejectAll(concerns: (pending: Pending) => boolean, error: Error): void {
    for (const [name, pending] of this.#pending)
      if (concerns(pending)) {
        this.#pending.delete(name);
        pending.reject(error);
      }
  }

  #sweepBy(moment: number): void {
    if (this.#sweep !== undefined && this.#sweep.at <= moment) return;
    this.#sweep?.timer.cancel();
    const { clock, timers } = this.#environment;
    const waitMs = Math.max(shortestSweepMs, moment - clock.monotonic());
    this.#sweep = { at: moment, timer: timers.set(() => this.#endLate(), waitMs) };
  }

  #endLate(): void {
    this.#sweep = undefined;
    const now = this.#environment.clock.monotonic();
    this.#rejectAll(({ endsAt }) => endsAt <= now, new errors.TimeoutError());
    let next = Infinity;
    for (const { endsAt } of this.#pending.values()) next = Math.min(next, endsAt);
    if (next < Infinity) this.#sweepBy(next);
  }
}
