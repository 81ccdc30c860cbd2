import type { Body, Envelope } from "../envelope.ts";
import { WaybillError, messageOf, stackOf } from "../errors.ts";
import type { Incoming, Lifetime } from "../handling/message.ts";
import type { Incomer } from "../handling/pipeline.ts";
import type { IncomingCall, Responder } from "../ports/channel.ts";
import type { Timer } from "../ports/environment.ts";
import type { Route } from "../wiring/route.ts";
import type { Runtime } from "../runtime.ts";
import type { Speech } from "../speaking/speech.ts";
import { encodeBody } from "../steps/outgoing.ts";
import { validated } from "../steps/validate.ts";
import { endOrOverdue } from "../handling/time-limit.ts";
import { readCursor } from "./cursor.ts";
import { errorFrame, frame, toWireError } from "./frames.ts";

/** Runs an `answer` or `serve` handler for any channel. Nothing is retried: somebody is waiting and decides. */
export class RouteResponder implements Responder {
  readonly #route: Route;
  readonly #run: Incomer;
  readonly #speech: Speech;
  readonly #runtime: Runtime;

  constructor(
    route: Route,
    run: Incomer,
    parts: { readonly speech: Speech; readonly runtime: Runtime },
  ) {
    this.#route = route;
    this.#run = run;
    this.#speech = parts.speech;
    this.#runtime = parts.runtime;
  }

  get verb(): "answer" | "serve" {
    return this.#route.contract.kind === "query" ? "answer" : "serve";
  }

  async answer(request: Envelope, call: IncomingCall): Promise<Envelope> {
    const { contract } = this.#route;
    const counted = this.#runtime.counters.of(contract.name);
    const lifetime = new CallLifetime(request, call, this.#runtime);
    const message = this.#message(request, call, lifetime);
    try {
      this.#checkDeadline(request);
      await this.#run(message);
      const schema = contract.kind === "query" ? contract.output : undefined;
      if (schema !== undefined) await this.#checkOutput(schema, message.output);
      const body = this.#encode(message.output);
      if (message.held.length > 0) await this.#speech.deliver(message.held);
      counted.handled += 1;
      return frame(this.#runtime, request.header, { type: "waybill.answer", body });
    } catch (error) {
      return this.#failed(request, error);
    } finally {
      lifetime.end();
    }
  }

  async *serve(request: Envelope, call: IncomingCall): AsyncIterable<Envelope> {
    const { contract } = this.#route;
    const lifetime = new CallLifetime(request, call, this.#runtime);
    const message = this.#message(request, call, lifetime);
    try {
      this.#checkDeadline(request);
      if (contract.kind === "feed") message.resumeFrom = await readCursor(contract, request.header);
      await this.#run(message);
      let sequence = 0;
      for await (const item of message.output as AsyncIterable<unknown>) {
        if (contract.kind === "feed") await this.#checkOutput(contract.item, item);
        const body = this.#encode(item);
        yield frame(this.#runtime, request.header, {
          type: "waybill.item",
          body,
          sequence: sequence++,
        });
      }
      this.#runtime.counters.of(contract.name).handled += 1;
    } catch (error) {
      yield this.#failed(request, error);
    } finally {
      message.context?.close();
      lifetime.end();
    }
  }

  release(ending: Promise<unknown>): Promise<void> {
    return endOrOverdue(ending, this.#route, this.#runtime);
  }

  #failed(request: Envelope, error: unknown): Envelope {
    const counted = this.#runtime.counters.of(this.#route.contract.name);
    const wire = toWireError(error);
    if (
      wire.code === "CALL_CANCELLED" ||
      (wire.code === "DEADLINE_EXCEEDED" && this.#isPast(request))
    )
      counted.abandoned += 1;
    else {
      counted.failed += 1;
      const fields = { id: request.header.id, error: messageOf(error), stack: stackOf(error) };
      this.#runtime.logger.warn(
        `${this.#route.handlerName} failed; its caller gets the error.`,
        fields,
      );
    }
    return errorFrame(this.#runtime, request.header, wire);
  }

  /** An answer of nothing is an empty body, so that it comes out as undefined again. */
  #encode(value: unknown): Body {
    return value === undefined ? "" : encodeBody(value, this.#route.contract.name, this.#runtime);
  }

  async #checkOutput(schema: Parameters<typeof validated>[0], value: unknown): Promise<void> {
    try {
      await validated(schema, value, { contract: this.#route.contract.name, what: "in answer" });
    } catch (cause) {
      throw new WaybillError(
        "ANSWER_INVALID",
        `${this.#route.handlerName} gave what its contract does not allow: ${messageOf(cause)}`,
        { cause },
      );
    }
  }

  #isPast({ header }: Envelope): boolean {
    return (
      header.deadline !== undefined &&
      !(Date.parse(header.deadline) > this.#runtime.environment.clock.now())
    );
  }

  #checkDeadline(request: Envelope): void {
    const { type, deadline } = request.header;
    if (!this.#isPast(request)) return;
    throw new WaybillError(
      "DEADLINE_EXCEEDED",
      `The caller of "${type}" waited until ${deadline} and is gone; nothing was done.`,
    );
  }

  #message(envelope: Envelope, call: IncomingCall, lifetime: Lifetime): Incoming {
    return {
      route: this.#route,
      envelope,
      delivery: undefined,
      lifetime,
      attempt: 1,
      failure: undefined,
      value: undefined,
      context: undefined,
      held: [],
      output: undefined,
      upstream: call.upstream,
      resumeFrom: undefined,
    };
  }
}

/** The end of a call from outside: the caller gives up, or its deadline passes. Watched only when the handler looks at its signal. */
class CallLifetime implements Lifetime {
  readonly #request: Envelope;
  readonly #call: IncomingCall;
  readonly #runtime: Runtime;
  #timer: Timer | undefined;
  over = false;

  constructor(request: Envelope, call: IncomingCall, runtime: Runtime) {
    this.#request = request;
    this.#call = call;
    this.#runtime = runtime;
  }

  onSignal(abort: (reason: unknown) => void): void {
    const end = (reason: unknown): void => {
      this.over = true;
      abort(reason);
    };
    this.#call.onCancel(end);
    const { deadline, type } = this.#request.header;
    if (deadline === undefined) return;
    const { clock, timers } = this.#runtime.environment;
    const passed = (): void =>
      end(
        new WaybillError(
          "DEADLINE_EXCEEDED",
          `The caller of "${type}" stopped waiting at ${deadline}.`,
        ),
      );
    this.#timer = timers.set(passed, Math.max(0, Date.parse(deadline) - clock.now()));
  }

  /** The handler has ended. */
  end(): void {
    this.#timer?.cancel();
  }
}
