import { type Topology, WaybillError, addressOf, permanentPart } from "@waybill/core";
import { asideStates } from "@waybill/core/adapter";
import type { ConsumerConfig, StreamConfig } from "@nats-io/jetstream";
import { type Instead, declare, declareAside, declareNotes } from "./declare.ts";
import type { Settings } from "./options.ts";
import { Names } from "./topology.ts";

export type PlannedStream = Partial<StreamConfig> & Pick<StreamConfig, "name">;

export interface PlannedConsumer {
  readonly stream: string;
  readonly config: Partial<ConsumerConfig> & { readonly durable_name: string };
}

/** Everything that services may ever need on the server, made by nobody yet: also what else is made when it is first needed. */
export class Plan implements Instead {
  readonly streams: PlannedStream[] = [];
  readonly consumers: PlannedConsumer[] = [];

  static async of(whole: Topology, settings: Settings): Promise<Plan> {
    const topology = permanentPart(whole);
    const [stream] = topology.streams;
    if (stream !== undefined)
      throw new WaybillError(
        "NOT_SUPPORTED",
        `What the stream "${stream.name}" and its groups need on NATS cannot be told beforehand yet. Let a bus create it, or give streams another broker.`,
      );
    const plan = new Plan();
    const names = new Names(settings.prefix);
    const parts = { names, settings, instead: plan };
    await declareNotes(parts);
    await declare(parts, topology);
    const { queues, topics, subscriptions } = topology;
    const kept = [
      ...queues.map(({ name }) => name),
      ...subscriptions.map(({ topic, name }) => addressOf({ kind: "subscription", topic, name })),
    ];
    for (const address of kept)
      for (const state of asideStates) await declareAside(parts, address, state);
    for (const { name } of topics) await declareAside(parts, `${name}/`, "dead");
    return plan;
  }

  async stream(config: PlannedStream): Promise<void> {
    this.streams.push(config);
  }

  async consumer(stream: string, config: PlannedConsumer["config"]): Promise<void> {
    this.consumers.push({ stream, config });
  }
}
