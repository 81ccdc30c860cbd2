import type { Schema } from "@waybill/contracts";
import type { HandlerSession } from "../context.ts";
import { bodyBytes } from "../envelope.ts";
import { WaybillError, messageOf } from "../errors.ts";
import { HandlerContext } from "./handler-context.ts";
import type { Incoming } from "./message.ts";
import type { Session } from "../ports/transport.ts";
import type { Runtime } from "../runtime.ts";
import type { Speech } from "../speaking/speech.ts";
import { encodeBody } from "../steps/outgoing.ts";
import { validated } from "../steps/validate.ts";

/** The context of a handler with `state`. */
export class SessionContext extends HandlerContext {
  readonly session: HandlerSession<unknown>;

  constructor(message: Incoming, speech: Speech, runtime: Runtime) {
    super(message, speech, runtime);
    this.session = new HeldSession(message, runtime, () => this.isClosed);
  }
}

/** Reads what is kept, shows what this run wrote, and holds that until the handler has succeeded. */
class HeldSession implements HandlerSession<unknown> {
  readonly key: string;
  readonly #message: Incoming;
  readonly #runtime: Runtime;
  readonly #isClosed: () => boolean;

  constructor(message: Incoming, runtime: Runtime, isClosed: () => boolean) {
    this.key = message.envelope.header.partitionkey ?? "";
    this.#message = message;
    this.#runtime = runtime;
    this.#isClosed = isClosed;
  }

  get read(): HandlerSession<unknown>["read"] {
    return () => this.#read();
  }

  get write(): HandlerSession<unknown>["write"] {
    return (value) => this.#write(value);
  }

  async #read(): Promise<unknown> {
    const { state } = this.#message;
    const body = state === undefined ? await this.#session().read() : state.body;
    if (body === undefined) return undefined;
    try {
      return await validated(
        this.#schema(),
        this.#runtime.codec.decode(body),
        this.#naming("kept"),
      );
    } catch (cause) {
      throw new WaybillError(
        "STATE_INVALID",
        `The state that ${this.#name()} keeps for "${this.key}" does not fit its schema: ${messageOf(cause)} Let the schema take it, or write another.`,
        { cause },
      );
    }
  }

  async #write(value: unknown): Promise<void> {
    this.#session();
    if (value === undefined) return this.#keep(undefined);
    await validated(this.#schema(), value, this.#naming("to be kept"));
    const body = encodeBody(value, this.#name(), this.#runtime);
    const bytes = bodyBytes(body);
    const { name, capabilities } = this.#runtime.transport;
    const bytesMax = capabilities.sessionStateBytesMax;
    if (bytes > bytesMax) {
      throw new WaybillError(
        "BODY_TOO_LARGE",
        `The state of ${this.#name()} for "${this.key}" has ${bytes} bytes; ${name} keeps ${bytesMax}. Keep a reference to the data instead.`,
        { details: { bytes, bytesMax } },
      );
    }
    this.#keep(body);
  }

  #keep(body: ReturnType<typeof encodeBody> | undefined): void {
    if (this.#isClosed()) {
      throw new WaybillError(
        "CLOSED",
        `The state of ${this.#name()} was written after the handler had ended. Await every write inside the handler.`,
      );
    }
    this.#message.state = { body };
  }

  /** A foreign producer may leave the key out. */
  #session(): Session {
    const session = this.#message.delivery?.session;
    if (session !== undefined) return session;
    throw new WaybillError(
      "NOT_SUPPORTED",
      `This message has no key, so there is no state of ${this.#name()} for it. Its sender must set "partitionkey".`,
    );
  }

  #schema(): Schema {
    return this.#message.route.options.state as Schema;
  }

  #name(): string {
    return this.#message.route.handlerName;
  }

  #naming(what: string): { contract: string; what: string } {
    return { contract: this.#name(), what };
  }
}
