import type { Topology, TransportFactory } from "@waybill/core";
import { connect } from "amqplib";
import { Names } from "./topology.ts";

/** Notes what is declared through it, and removes that from the broker: tests share one. */
export class Cleaning {
  readonly #url: string;
  readonly #declared: Topology[] = [];

  constructor(url: string) {
    this.#url = url;
  }

  watch(factory: TransportFactory): TransportFactory {
    return {
      name: factory.name,
      open: async (host) => {
        const transport = await factory.open(host);
        const declare = transport.declare.bind(transport);
        transport.declare = (topology) => {
          this.#declared.push(topology);
          return declare(topology);
        };
        return transport;
      },
    };
  }

  async clean(): Promise<void> {
    const names = new Names("");
    const connection = await connect(this.#url, { timeout: 10_000 });
    const channel = await connection.createChannel();
    for (const { queues, topics, subscriptions } of this.#declared.splice(0)) {
      const all = [
        ...queues.map(({ name }) => names.queue(name)),
        ...subscriptions.map(({ topic, name }) => names.subscription(topic, name)),
      ];
      for (const queue of all.flatMap((name) => [name, names.dead(name), names.deferred(name)]))
        await channel.deleteQueue(queue);
      for (const { name } of topics) {
        await channel.deleteQueue(names.unrouted(name));
        await channel.deleteExchange(names.exchange(name));
      }
    }
    await connection.close();
  }
}
