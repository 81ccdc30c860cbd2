import type { Envelope } from "../envelope.ts";
import { WaybillError, messageOf, toWireError } from "../errors.ts";
import type { Incoming, Lifetime } from "../message.ts";
import type { Incomer } from "../pipeline.ts";
import type { IncomingCall, Responder } from "../ports/channel.ts";
import type { Route } from "../route.ts";
import type { Runtime } from "../runtime.ts";
import type { Speech } from "../speech.ts";
import { validated } from "../steps/validate.ts";
import { errorFrame, frame } from "./frames.ts";

/** Runs an `answer` or `serve` handler for any channel. Nothing is retried: somebody is waiting and decides. */
export class RouteResponder implements Responder {
  readonly #route: Route;
  readonly #run: Incomer;
  readonly #speech: Speech;
  readonly #runtime: Runtime;

  constructor(route: Route, run: Incomer, parts: { readonly speech: Speech; readonly runtime: Runtime }) {
    this.#route = route;
    this.#run = run;
    this.#speech = parts.speech;
    this.#runtime = parts.runtime;
  }

  async answer(request: Envelope, call: IncomingCall): Promise<Envelope> {
    const { contract } = this.#route;
    const counted = this.#runtime.counters.of(contract.name);
    const message = this.#message(request, call);
    try {
      this.#checkDeadline(request);
      await this.#run(message);
      const schema = contract.kind === "query" ? contract.output : undefined;
      if (schema !== undefined) await this.#checkOutput(schema, message.output);
      if (message.held.length > 0) await this.#speech.deliver(message.held);
      counted.handled += 1;
      const body = this.#runtime.codec.encode(message.output ?? null);
      return frame(this.#runtime, request.header, { type: "waybill.answer", body });
    } catch (error) {
      return this.#failed(request, error);
    }
  }

  async *serve(request: Envelope, call: IncomingCall): AsyncIterable<Envelope> {
    const { contract } = this.#route;
    const message = this.#message(request, call);
    try {
      this.#checkDeadline(request);
      await this.#run(message);
      let sequence = 0;
      for await (const item of message.output as AsyncIterable<unknown>) {
        if (contract.kind === "feed") await this.#checkOutput(contract.item, item);
        const body = this.#runtime.codec.encode(item);
        yield frame(this.#runtime, request.header, { type: "waybill.item", body, sequence: sequence++ });
      }
      this.#runtime.counters.of(contract.name).handled += 1;
    } catch (error) {
      yield this.#failed(request, error);
    } finally {
      message.context?.close();
    }
  }

  #failed(request: Envelope, error: unknown): Envelope {
    const counted = this.#runtime.counters.of(this.#route.contract.name);
    if (error instanceof WaybillError && error.code === "DEADLINE_EXCEEDED") counted.abandoned += 1;
    else {
      counted.failed += 1;
      const fields = { id: request.header.id, error: messageOf(error), stack: error instanceof Error ? error.stack : undefined };
      this.#runtime.logger.warn(`${this.#route.handlerName} failed; its caller gets the error.`, fields);
    }
    return errorFrame(this.#runtime, request.header, toWireError(error));
  }

  async #checkOutput(schema: Parameters<typeof validated>[0], value: unknown): Promise<void> {
    try {
      await validated(schema, value, { contract: this.#route.contract.name, what: "in answer" });
    } catch (cause) {
      throw new WaybillError("ANSWER_INVALID", `${this.#route.handlerName} gave what its contract does not allow: ${messageOf(cause)}`, { cause });
    }
  }

  #checkDeadline({ header }: Envelope): void {
    if (header.deadline === undefined || Date.parse(header.deadline) > this.#runtime.environment.clock.now()) return;
    throw new WaybillError("DEADLINE_EXCEEDED", `The caller of "${header.type}" waited until ${header.deadline} and is gone; nothing was done.`);
  }

  #message(envelope: Envelope, call: IncomingCall): Incoming {
    return {
      route: this.#route,
      envelope,
      delivery: undefined,
      lifetime: this.#lifetime(envelope, call),
      attempt: 1,
      failure: undefined,
      value: undefined,
      context: undefined,
      held: [],
      output: undefined,
      upstream: call.upstream,
    };
  }

  #lifetime({ header }: Envelope, call: IncomingCall): Lifetime {
    return {
      onSignal: (abort) => {
        call.onCancel(abort);
        if (header.deadline === undefined) return;
        const { clock, timers } = this.#runtime.environment;
        const passed = (): void => abort(new WaybillError("DEADLINE_EXCEEDED", `The caller of "${header.type}" stopped waiting at ${header.deadline}.`));
        timers.set(passed, Math.max(0, Date.parse(header.deadline) - clock.now()));
      },
    };
  }
}
