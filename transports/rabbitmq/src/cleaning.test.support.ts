import type { Topology, TransportFactory } from "@waybill/core";
import { connect } from "amqplib";
import { Names } from "./topology.ts";

/** Notes what is declared through it, and removes that from the broker: tests share one. */
export class Cleaning {
  readonly #url: string;
  readonly #registry: string | undefined;
  readonly #declared: Topology[] = [];
  readonly #groups = new Set<string>();

  /** With a system of its own, its addresses are in a log of their own. */
  constructor(url: string, system?: string) {
    this.#url = url;
    this.#registry = system === undefined ? undefined : new Names("", system).registry;
  }

  watch(factory: TransportFactory): TransportFactory {
    return {
      ...factory,
      open: async (host) => {
        const transport = await factory.open(host);
        const declare = transport.declare.bind(transport);
        transport.declare = (topology) => {
          this.#declared.push(topology);
          return declare(topology);
        };
        const receive = transport.receive.bind(transport);
        transport.receive = (source, ...rest) => {
          if (source.kind === "stream") this.#groups.add(`${source.name}@${source.group}`);
          return receive(source, ...rest);
        };
        return transport;
      },
    };
  }

  note(topology: Topology): void {
    this.#declared.push(topology);
  }

  async clean(): Promise<void> {
    const names = new Names("");
    const connection = await connect(this.#url, { timeout: 10_000 });
    const channel = await connection.createChannel();
    for (const { queues, topics, subscriptions, streams } of this.#declared.splice(0)) {
      const all = [
        ...queues.map(({ name }) => names.queue(name)),
        ...subscriptions.map(({ topic, name }) => names.subscription(topic, name)),
      ];
      for (const { name, partitions } of streams) {
        await channel.deleteQueue(names.groupLog(name));
        for (let partition = 0; partition < partitions; partition++)
          await channel.deleteQueue(names.partition(name, partition));
      }
      for (const queue of all.flatMap((name) => [name, names.dead(name), names.deferred(name)]))
        await channel.deleteQueue(queue);
      for (const { name } of topics) {
        await channel.deleteQueue(names.unrouted(name));
        await channel.deleteExchange(names.exchange(name));
      }
    }
    if (this.#registry !== undefined) await channel.deleteQueue(this.#registry);
    for (const queue of this.#groups)
      for (const each of [queue, names.dead(queue)]) await channel.deleteQueue(each);
    this.#groups.clear();
    await connection.close();
  }
}
