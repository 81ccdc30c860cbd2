import type { Envelope, Header } from "../envelope.ts";
import type { Entry } from "../handling/entry.ts";
import { type ErrorCode, WaybillError, messageOf } from "../errors.ts";
import { Listener } from "../handling/listener.ts";
import type {
  CallSettings,
  Channel,
  OpenSettings,
  Responder,
  ServeSettings,
  Serving,
} from "../ports/channel.ts";
import type { Outgoing } from "../ports/transport.ts";
import type { Runtime } from "../runtime.ts";
import { completeHere } from "../steps/settle.ts";
import { refusalOf } from "../wire/delivery.ts";
import { FeedClient } from "./feed-client.ts";
import { FeedServer } from "./feed-server.ts";
import { errorFrame, frame, toWireError } from "./frames.ts";
import { Inbox, isReplyAddress } from "./inbox.ts";

/**
 * Calls over any transport: the request waits in the owner's queue, the answer comes to a reply queue of the
 * calling process, matched by a correlation id that cannot be guessed.
 */
export class TransportChannel implements Channel {
  readonly name: string;
  readonly #runtime: Runtime;
  readonly #inbox: Inbox;
  readonly #serving: Inbox;
  readonly #feeds: FeedServer;

  constructor(runtime: Runtime) {
    this.name = runtime.transport.name;
    this.#runtime = runtime;
    this.#inbox = new Inbox(runtime, "calling");
    this.#serving = new Inbox(runtime, "serving");
    this.#feeds = new FeedServer(runtime, this.#serving);
  }

  async call(request: Envelope, { signal }: CallSettings): Promise<Envelope> {
    await this.#inbox.ready();
    signal.throwIfAborted();
    const { correlationid = "", deadline } = request.header;
    const envelope: Envelope = {
      header: { ...request.header, replyto: this.#inbox.address },
      body: request.body,
    };
    return new Promise<Envelope>((resolve, reject) => {
      let control: string | undefined;
      const cancel = (to: string): void =>
        void this.#inbox.send(to, [
          frame(this.#runtime, request.header, { type: "waybill.cancel" }),
        ]);
      const end = (): void => {
        signal.removeEventListener("abort", onAbort);
        this.#inbox.unregister(correlationid);
      };
      const onAbort = (): void => {
        end();
        if (control !== undefined) cancel(control);
        reject(signal.reason as Error);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#inbox.register(correlationid, (answer) => {
        const { type, replyto } = answer.header;
        if (type === "waybill.accepted") {
          if (isReplyAddress(replyto)) control = replyto;
          return;
        }
        end();
        resolve(answer);
      });
      const notAfter =
        deadline === undefined ? {} : { notAfter: Date.parse(deadline), discardExpired: true };
      this.#runtime.transport
        .send([{ to: { kind: "queue", name: request.header.type }, envelope, ...notAfter }])
        .catch((error: Error) => {
          end();
          reject(error);
        });
    });
  }

  open(request: Envelope, settings: OpenSettings): AsyncIterable<Envelope> {
    return new FeedClient(this.#runtime, this.#inbox, { request, settings }).items();
  }

  async serve(address: string, responder: Responder, settings: ServeSettings): Promise<Serving> {
    const listener = new Listener(
      {
        source: { kind: "queue", name: address },
        ...settings,
        run: (entry) => this.#handle(entry, address, responder),
      },
      this.#runtime,
    );
    listener.start();
    const feeds = this.#feeds;
    return Promise.resolve({
      pause: () => listener.pause(),
      resume: () => listener.resume(),
      stop: async (deadlineMs) => {
        const { clock } = this.#runtime.environment;
        const until = clock.monotonic() + deadlineMs;
        // First no new feeds, then the open ones.
        const calls = await listener.stop(deadlineMs);
        return calls + (await feeds.stop(address, until - clock.monotonic()));
      },
      get feeds() {
        return feeds.count(address);
      },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#inbox.stop(closeMs), this.#serving.stop(closeMs)]);
  }

  async #handle(entry: Entry, address: string, responder: Responder): Promise<undefined> {
    const { envelope } = entry.delivery;
    const { header } = envelope;
    if (
      header.type !== address ||
      !isReplyAddress(header.replyto) ||
      header.correlationid === undefined
    ) {
      await this.#refuse(entry, address);
      return undefined;
    }
    const refusal = refusalOf(entry.delivery);
    if (refusal !== undefined) {
      await this.#refuseSealed(entry, address, refusal);
      return undefined;
    }
    if (responder.verb === "serve") {
      await this.#feeds.start(entry, { address, responder });
      return undefined;
    }
    const { replyto, correlationid } = header;
    let registered = false;
    const answer = await responder.answer(envelope, {
      onCancel: (callback) => {
        entry.onSignal(callback); // the lock is lost, or this process closes
        registered = true;
        this.#serving.register(correlationid, (received) => {
          if (received.header.type === "waybill.cancel")
            callback(new WaybillError("CALL_CANCELLED", `The caller of "${header.type}" gave up.`));
        });
        void this.#accept(envelope, replyto);
      },
      upstream: nothing(),
    });
    if (registered) this.#serving.unregister(correlationid);
    try {
      await completeHere(
        [await this.#sealed(answer, header, replyto)],
        entry.delivery,
        this.#runtime.transport,
      );
    } catch (error) {
      this.#runtime.counters.replies.undeliverable += 1;
      this.#runtime.logger.debug(
        `The answer of "${address}" could not be delivered to ${replyto}: ${messageOf(error)}`,
      );
      await entry.delivery.settle({ kind: "complete" });
    }
    return undefined;
  }

  /** An answer that the wire cannot seal becomes the error that says so. */
  async #sealed(answer: Envelope, call: Header, replyto: string): Promise<Outgoing> {
    const outgoing: Outgoing = { to: { kind: "queue", name: replyto }, envelope: answer };
    const { wire } = this.#runtime;
    if (wire === undefined) return outgoing;
    try {
      return await wire.seal(outgoing);
    } catch (error) {
      const envelope = errorFrame(this.#runtime, call, toWireError(error));
      return wire.seal({ ...outgoing, envelope });
    }
  }

  /** Who is not trusted gets no answer; who only seals otherwise than this bus is told so. */
  async #refuseSealed(entry: Entry, address: string, refusal: WaybillError): Promise<void> {
    const { header } = entry.delivery.envelope;
    if (refusal.code === "UNAUTHORISED") {
      await this.#setAside(entry, refusal.code, refusal.message);
      return;
    }
    const fields = { id: header.id, code: refusal.code };
    this.#runtime.logger.warn(`A call of "${address}" was refused: ${refusal.message}`, fields);
    const answer = errorFrame(this.#runtime, header, toWireError(refusal));
    const first = { ...answer, header: { ...answer.header, sequence: "0" } };
    await completeHere(
      [await this.#sealed(first, header, header.replyto ?? "")],
      entry.delivery,
      this.#runtime.transport,
    );
  }

  /** Tells the caller where it can cancel. Only done when the handler looks at its signal, so it costs nobody else. */
  async #accept(request: Envelope, replyto: string): Promise<void> {
    try {
      await this.#serving.ready();
    } catch (error) {
      this.#runtime.logger.warn(
        `"${request.header.type}" cannot be cancelled by its caller: ${messageOf(error)}`,
      );
      return;
    }
    await this.#serving.send(replyto, [
      frame(this.#runtime, request.header, {
        type: "waybill.accepted",
        replyto: this.#serving.address,
      }),
    ]);
  }

  /** What is no proper call is set aside where it can be looked at. */
  async #refuse(entry: Entry, address: string): Promise<void> {
    const { type } = entry.delivery.envelope.header;
    const known = this.#runtime.counters.unknownTypes;
    known.set(address, (known.get(address) ?? 0) + 1);
    const message = `A message on "${address}" is no call of it: its type is "${type}", and a call has a correlationid and a replyto of the form "replies.<id>".`;
    await this.#setAside(entry, "TYPE_UNKNOWN", message);
  }

  async #setAside({ delivery }: Entry, reason: ErrorCode, message: string): Promise<void> {
    const { type, source } = delivery.envelope.header;
    this.#runtime.logger.error(message, { type, source });
    const now = this.#runtime.environment.clock.now();
    await delivery.settle({
      kind: "deadLetter",
      failure: {
        reason,
        message,
        service: "",
        handler: "",
        attempts: delivery.attempt,
        firstFailedAt: now,
        lastFailedAt: now,
      },
    });
  }
}

const closeMs = 1_000;

async function* nothing(): AsyncIterable<never> {
  // A query has no upstream.
}
