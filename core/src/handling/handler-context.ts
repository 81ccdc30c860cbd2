import type { Attributes, Feed, Query, Schema } from "@waybill/contracts";
import type { Codec } from "../codec.ts";
import type {
  CallOptions,
  Context,
  OpenContext,
  OpenOptions,
  Receipt,
  SendOptions,
} from "../context.ts";
import type { Envelope, Header } from "../envelope.ts";
import { WaybillError, messageOf } from "../errors.ts";
import type { Incoming } from "./message.ts";
import type { ScheduleRows } from "../ports/schedule-rows.ts";
import {
  type ScheduleVerbs,
  type ScheduleWhen,
  cancelIn,
  checkScheduleId,
  keep,
  planOf,
} from "../schedules/dynamic.ts";
import { sleep } from "../ports/environment.ts";
import type { Logger } from "../ports/logger.ts";
import type { Outgoing, Position } from "../ports/transport.ts";
import type { Runtime } from "../runtime.ts";
import type { Decision } from "../deciders/decision.ts";
import type { SagaTurn } from "../sagas/turn.ts";
import type { Folding } from "../views/fold.ts";
import type { ViewReader } from "../views/reader.ts";
import { Said } from "../speaking/said.ts";
import type { CallOrigin, Speech } from "../speaking/speech.ts";
import { validated } from "../steps/validate.ts";
import type { AnyContract } from "../wiring/uses.ts";
import { plainBody } from "../wire/wire.ts";

/** One per message. What costs (a signal, a child logger) is made when it is first asked for. */
export class HandlerContext implements OpenContext {
  readonly header: Header;
  readonly attempt: number;
  readonly service: string;
  readonly #message: Incoming;
  readonly #speech: Speech;
  readonly #runtime: Runtime;
  #controller: AbortController | undefined;
  #said: Said<Receipt>[] | undefined;
  #closed = false;

  constructor(message: Incoming, speech: Speech, runtime: Runtime) {
    this.header = message.envelope.header;
    this.attempt = message.attempt;
    this.service = message.route.service;
    this.#message = message;
    this.#speech = speech;
    this.#runtime = runtime;
  }

  get handle(): string | undefined {
    const handle = this.#message.delivery?.handle;
    const { neighbours } = this.#runtime;
    return handle === undefined || neighbours === undefined ? handle : neighbours.handleOf(handle);
  }

  get position(): Position | undefined {
    return this.#message.delivery?.position;
  }

  get attributes(): Attributes {
    return this.header.attributes ?? {};
  }

  get logger(): Logger {
    return this.#runtime.logger;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController();
      this.#controller = controller;
      this.#message.lifetime.onSignal((reason) => controller.abort(reason));
    }
    return this.#controller.signal;
  }

  /** For `serve` handlers: the caller's items, decoded and validated one by one as they are read. */
  get upstream(): AsyncIterable<unknown> {
    const { route, upstream } = this.#message;
    const schema = route.contract.kind === "feed" ? route.contract.upstream : undefined;
    return readUpstream(upstream, {
      schema,
      contract: route.contract.name,
      codec: this.#runtime.codec,
    });
  }

  get resumeFrom(): any {
    return this.#message.resumeFrom;
  }

  /** For services with a store. */
  get transaction(): unknown {
    return this.#message.transaction;
  }

  /** For the handlers of sagas. */
  get sagaTurn(): SagaTurn | undefined {
    return this.#message.turn;
  }

  /** For the handlers of views. */
  get viewFold(): Folding | undefined {
    return this.#message.fold;
  }

  /** For the handlers of deciders. */
  get decision(): Decision | undefined {
    return this.#message.decision;
  }

  // The verbs are accessors, so that they can be taken out of it: `const { publish } = context`. It costs a closure where one is used.

  get now(): Context["now"] {
    return () => new Date(this.#runtime.environment.clock.now());
  }

  get sleep(): Context["sleep"] {
    return (delayMs) => sleep(this.#runtime.environment.timers, delayMs, this.signal);
  }

  get resumeDeferred(): Context["resumeDeferred"] {
    const { transport, neighbours } = this.#runtime;
    return (handle) => (neighbours?.whole ?? transport).inspection.resumeDeferred(handle);
  }

  get send(): Context<any>["send"] {
    return (command, input, options = {}) => this.#say(command, input, options);
  }

  get publish(): Context<any>["publish"] {
    return (event, payload, options = {}) => this.#say(event, payload, options);
  }

  get append(): Context<any>["append"] {
    return (stream, item, options = {}) => this.#say(stream, item, options);
  }

  /** For services with a store. */
  get schedule(): ScheduleVerbs<any>["schedule"] {
    return (contract, value, when) =>
      this.#watch(this.#schedule(contract as AnyContract, value, when));
  }

  get cancelSchedule(): ScheduleVerbs<any>["cancelSchedule"] {
    return async (id) => {
      checkScheduleId(id);
      return cancelIn(this.#schedules(id), { service: this.service, name: id });
    };
  }

  get ask(): (query: Query, input: unknown, options?: CallOptions) => Promise<any> {
    return (query, input, options = {}) => this.#speech.ask(query, input, this.#calling(options));
  }

  get open(): (feed: Feed, input: unknown, options?: OpenOptions<any, any>) => AsyncIterable<any> {
    return (feed, input, options = {}) => this.#speech.open(feed, input, this.#calling(options));
  }

  get view(): (view: { readonly name: string }) => ViewReader<any> {
    const { service } = this;
    return ({ name }) => this.#speech.view(name, { service, rows: this.#message.views });
  }

  held(): Promise<void> | undefined {
    return this.#said === undefined ? undefined : allEnded(this.#said);
  }

  expire(reason: unknown): void {
    this.#controller ??= new AbortController();
    this.#controller.abort(reason);
  }

  protected get isClosed(): boolean {
    return this.#closed;
  }

  close(): void {
    this.#closed = true;
  }

  #calling<Options>(options: Options): CallOrigin<Options> {
    const { envelope: parent } = this.#message;
    return { service: this.service, parent, options, signal: this.signal };
  }

  async #schedule(contract: AnyContract, value: unknown, when: ScheduleWhen): Promise<Receipt> {
    const plan = planOf(when, this.#runtime.environment.clock.now());
    const { id } = when;
    const outgoing = await this.#speech.prepare(contract, value, {
      service: this.service,
      parent: this.#message.envelope,
      options: { id },
    });
    const kept = { service: this.service, id, contract: contract.name, outgoing, plan };
    await keep(this.#schedules(id), kept);
    this.#message.keptAt = Math.min(this.#message.keptAt ?? Infinity, plan.nextAt ?? Infinity);
    return { id };
  }

  #schedules(id: string): ScheduleRows {
    if (this.#closed) throw tooLate(id);
    const { schedules } = this.#message;
    if (schedules !== undefined) return schedules;
    throw new WaybillError(
      "NOT_SUPPORTED",
      `${this.#message.route.handlerName} schedules "${id}" outside a transaction of its store. Do it in a handler of a command, an event or a stream of a service with a store, or in bus.transaction().`,
    );
  }

  #say(contract: AnyContract, value: unknown, options: SendOptions): Promise<Receipt> {
    if (this.#closed) return Promise.reject(tooLate(contract.name));
    let prepared: Outgoing | Promise<Outgoing>;
    try {
      prepared = this.#speech.prepare(contract, value, {
        service: this.service,
        parent: this.#message.envelope,
        options,
      });
    } catch (error) {
      // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- passed on as it came
      return this.#watch(Promise.reject(error));
    }
    if (prepared instanceof Promise)
      return this.#watch(prepared.then((outgoing) => this.#keep(outgoing)));
    const kept = this.#keep(prepared);
    return kept instanceof Promise ? this.#watch(kept) : Promise.resolve(kept);
  }

  #keep(outgoing: Outgoing): Receipt | Promise<Receipt> {
    const { id, type } = outgoing.envelope.header;
    // The schema took longer than the handler: what a failed run sent must not leave with the next one.
    if (this.#closed) throw tooLate(type);
    if (this.#message.route.binding.verb === "serve")
      return this.#speech.deliver([outgoing]).then(() => ({ id }));
    this.#message.held.push(outgoing);
    return { id };
  }

  #watch(work: Promise<Receipt>): Promise<Receipt> {
    const said = Said.of(work);
    // A feed may run for days, so what it sends is not collected.
    if (this.#message.route.binding.verb !== "serve") (this.#said ??= []).push(said);
    else
      said
        .ended()
        .catch((error: unknown) =>
          this.logger.error(
            `${this.#message.route.handlerName} sent without waiting, and it failed: ${messageOf(error)}`,
          ),
        );
    return said;
  }
}

async function* readUpstream(
  items: AsyncIterable<Envelope> | undefined,
  reading: { schema: Schema | undefined; contract: string; codec: Codec },
): AsyncIterable<unknown> {
  const { schema, contract, codec } = reading;
  if (items === undefined || schema === undefined) return;
  for await (const item of items) {
    yield validated(schema, codec.decode(plainBody(item)), { contract, what: "sent upstream" });
  }
}

async function allEnded(all: readonly Said<Receipt>[]): Promise<void> {
  for (const said of all) await said.ended();
}

function tooLate(contract: string): WaybillError {
  return new WaybillError(
    "CLOSED",
    `"${contract}" was sent after the handler had ended. Await every send inside the handler, or use the bus.`,
  );
}
