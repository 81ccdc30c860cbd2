import { type Topology, WaybillError, permanentPart } from "@waybill/core";
import { declare, singlesOf } from "./declare.ts";
import { Delays, delayMsMax } from "./delays.ts";
import type { ExchangeOptions, Making, QueueOptions } from "./making.ts";
import { Registry } from "./registry.ts";
import { Releases } from "./releases.ts";
import { type Names, quorum } from "./topology.ts";

export interface PlannedExchange {
  readonly type: "topic" | "fanout";
  readonly options: ExchangeOptions;
}

export interface PlannedBinding {
  readonly kind: "queue" | "exchange";
  readonly source: string;
  readonly target: string;
  readonly pattern: string;
}

/** Everything that services may ever need on the server, made by nobody yet: also what else is made when it is first needed. */
export class Plan implements Making {
  readonly queues: Map<string, QueueOptions> = new Map();
  readonly exchanges: Map<string, PlannedExchange> = new Map();
  readonly bindings: Map<string, PlannedBinding> = new Map();
  /** Keys of what can be delayed: see `Target`. */
  readonly delayed: Set<string> = new Set();

  static async of(whole: Topology, names: Names): Promise<Plan> {
    const topology = permanentPart(whole);
    const [stream] = topology.streams;
    if (stream !== undefined)
      throw new WaybillError(
        "NOT_SUPPORTED",
        `What the stream "${stream.name}" and its groups need on RabbitMQ cannot be told beforehand yet. Let a bus create it, or give streams another broker.`,
      );
    const plan = new Plan();
    await declare(plan, topology, { names, singles: new Set(singlesOf(topology, names)) });
    const delays = new Delays(names);
    const { queues, topics, subscriptions } = topology;
    const kept = [
      ...queues.map(({ name }) => names.queue(name)),
      ...subscriptions.map(({ topic, name }) => names.subscription(topic, name)),
    ];
    const targets = kept.map((queue) => names.targetQueue(queue));
    for (const { name } of topics) {
      const here = subscriptions.filter(({ topic }) => topic === name);
      const types = here.flatMap(({ accepts }) => accepts.map(({ type }) => type));
      for (const type of new Set([name, ...types]))
        targets.push(names.target({ kind: "topic", name }, type));
    }
    await Releases.declare(plan, names.released);
    await Registry.declare(plan, names.registry);
    for (const queue of kept)
      await plan.assertQueue(names.deferred(queue), { durable: true, arguments: quorum });
    for (const target of targets) {
      await delays.prepare(plan, delayMsMax, target);
      plan.delayed.add(target.key);
    }
    return plan;
  }

  async assertQueue(name: string, options: QueueOptions): Promise<void> {
    this.queues.set(name, options);
  }

  async assertExchange(
    name: string,
    type: "topic" | "fanout",
    options: ExchangeOptions,
  ): Promise<void> {
    this.exchanges.set(name, { type, options });
  }

  async bindQueue(target: string, source: string, pattern: string): Promise<void> {
    this.#bind({ kind: "queue", source, target, pattern });
  }

  async bindExchange(target: string, source: string, pattern: string): Promise<void> {
    this.#bind({ kind: "exchange", source, target, pattern });
  }

  #bind(binding: PlannedBinding): void {
    this.bindings.set(JSON.stringify(Object.values(binding)), binding);
  }
}
