import { type Change, compileChanges } from "../wiring/acceptances.ts";
import type { Envelope } from "../envelope.ts";
import type { Entry } from "./entry.ts";
import { orderingKey } from "../wiring/key.ts";
import { type Outcome, complete } from "./outcome.ts";
import { type IncomingStep, type Incomer, compileIncoming } from "./pipeline.ts";
import { ruleHere } from "../wiring/filtering.ts";
import type { Delivery } from "../ports/transport.ts";
import { addressOf } from "../ports/transport.ts";
import type { Intake, Route } from "../wiring/route.ts";
import type { Predicate } from "../rules.ts";
import type { Runtime } from "../runtime.ts";
import { Received } from "./received.ts";
import { typesOf } from "../wiring/former-names.ts";
import { readBody } from "../steps/decode.ts";

interface Compiled {
  readonly route: Route;
  readonly run: Incomer;
  /** Undefined where the broker has changed the attributes already, or nobody asked for it. */
  readonly change: Change | undefined;
  /** Undefined where the broker has applied the rule already, or there is none. */
  readonly wants: Predicate | undefined;
}

/** Brings each delivery of one source to the pipeline of its contract. */
export class MessageRunner {
  /** Whether messages of one key must not overtake each other. */
  readonly ordered: boolean;
  /** Whether some of what comes may be unwanted: rules that the broker does not evaluate. */
  readonly filters: boolean;
  readonly #address: string;
  readonly #runtime: Runtime;
  readonly #compiled: ReadonlyMap<string, Compiled>;
  /** A source of one contract also takes what a foreign producer sent without a type. */
  readonly #only: Compiled | undefined;

  constructor(intake: Intake, runtime: Runtime, steps: readonly IncomingStep[]) {
    this.#address = addressOf(intake.source);
    this.#runtime = runtime;
    this.ordered = intake.routes.some(({ inPlace }) => inPlace);
    const compiled = intake.routes.map((route) => ({
      route,
      run: compileIncoming(steps, route, runtime),
      change: changeHere(route, runtime),
      wants: ruleHere(route, runtime.transport),
    }));
    this.filters = compiled.some(({ wants }) => wants !== undefined);
    this.#compiled = new Map(
      compiled.flatMap((each) => typesOf(each.route.contract).map((type) => [type, each])),
    );
    this.#only = compiled.length === 1 ? compiled[0] : undefined;
  }

  /** Settles the entry, or answers `retry` where it must wait in its place. */
  run(entry: Entry): Outcome | Promise<Outcome> {
    const { envelope } = entry.delivery;
    const compiled = this.#find(envelope.header.type);
    if (compiled === undefined) return this.#setAside(entry);
    const { route, change } = compiled;
    const arrived = change === undefined ? envelope : changed(envelope, change);
    const message = new Received(route, arrived, entry);
    entry.message = message;
    return compiled.run(message);
  }

  /** The key in whose order this delivery stands. What cannot be read has a lane of its own: the pipeline says what is wrong with it. */
  lane({ envelope, position }: Delivery): string | undefined {
    if (position !== undefined) return `partition ${position.partition}`;
    const route = this.#find(envelope.header.type)?.route;
    if (route === undefined) return undefined;
    const key = orderingKey(route.contract);
    const { partitionkey } = envelope.header;
    if (key !== undefined && partitionkey !== undefined) return `key ${partitionkey}`;
    const orderedBy = key ?? route.options.orderedBy;
    if (orderedBy === undefined) return undefined;
    try {
      return `key ${orderedBy(readBody(envelope, route.contract, this.#runtime.codec))}`;
    } catch {
      return undefined;
    }
  }

  /** Whether the rule of its handler holds. What it does not hold for is counted, for it is completed unhandled. */
  wants({ envelope: { header } }: Delivery): boolean {
    const compiled = this.#find(header.type);
    if (compiled?.wants === undefined || compiled.wants(header.attributes ?? {})) return true;
    this.#runtime.counters.of(compiled.route.contract.name).filtered += 1;
    return false;
  }

  readonly routeOf = (type: string): Route | undefined => this.#find(type)?.route;

  released({ delivery }: Entry): void {
    const type = this.#find(delivery.envelope.header.type)?.route.contract.name;
    if (type !== undefined) this.#runtime.counters.of(type).released += 1;
  }

  #find(type: string): Compiled | undefined {
    return type === "" ? this.#only : this.#compiled.get(type);
  }

  async #setAside({ delivery }: Entry): Promise<Outcome> {
    const { counters, logger, environment } = this.#runtime;
    const { type, source, id } = delivery.envelope.header;
    counters.unknownTypes.set(this.#address, (counters.unknownTypes.get(this.#address) ?? 0) + 1);
    const message = `No handler on "${this.#address}" takes the type "${type}"; it takes ${[...this.#compiled.keys()].join(", ")}. Deploy the service that does, then replay the message.`;
    logger.error(message, { id, source });
    const now = environment.clock.now();
    await delivery.settle({
      kind: "deadLetter",
      failure: {
        reason: "TYPE_UNKNOWN",
        message,
        service: "",
        handler: "",
        attempts: delivery.attempt,
        firstFailedAt: now,
        lastFailedAt: now,
      },
    });
    return complete();
  }
}

function changeHere({ binding }: Route, { transport }: Runtime): Change | undefined {
  const { set } = binding.options;
  return set === undefined || transport.capabilities.ruleActions ? undefined : compileChanges(set);
}

function changed({ header, body }: Envelope, change: Change): Envelope {
  return { header: change(header), body };
}
