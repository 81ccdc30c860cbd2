import { jetstreamManager } from "@nats-io/jetstream";
import { Admin } from "@platformatic/kafka";
import { connect as connectNats } from "@nats-io/transport-node";
import { connect } from "amqplib";
import { GetPrice, PlaceOrder } from "../workload.ts";
import { rabbitmq } from "../rabbitmq/twin.ts";

export interface Server {
  readonly url: string;
  /** Undefined when it does not listen here. */
  version(): Promise<string | undefined>;
  /** Makes what the twin's processes expect to be there; absent where they make it themselves. */
  prepare?(prefix: string): Promise<void>;
  /** Removes what a benchmark made under that prefix. */
  clean(prefix: string): Promise<void>;
}

const natsHost = "127.0.0.1:4222";

export const serverOfRabbitmq: Server = {
  url: "amqp://127.0.0.1:5672",
  version: () => rabbitmq.version(),
  clean: async (prefix) => {
    const connection = await connect(serverOfRabbitmq.url);
    const channel = await connection.createChannel();
    // The last three are the transport's own.
    const queues = [
      PlaceOrder.name,
      GetPrice.name,
      "amqplib",
      "nest",
      "waybill.released",
      "waybill.lost",
      "waybill.addresses",
    ];
    for (const name of queues)
      for (const suffix of ["", ".dead", ".deferred"])
        await channel.deleteQueue(`${prefix}.${name}${suffix}`);
    await connection.close();
  },
};

export const serverOfNats: Server = {
  url: `nats://${natsHost}`,
  version: async () => {
    try {
      const connection = await connectNats({ servers: natsHost, timeout: 3_000 });
      const version = connection.info?.version;
      await connection.close();
      return version === undefined ? undefined : `nats-server ${version}`;
    } catch {
      return undefined;
    }
  },
  clean: async (prefix) => {
    const connection = await connectNats({ servers: natsHost });
    const { streams } = await jetstreamManager(connection);
    for await (const name of streams.names())
      if (name.startsWith(`${prefix}_`)) await streams.delete(name);
    await connection.close();
  },
};

const kafkaHost = "127.0.0.1:9092";
/** As many as Waybill gives a queue. */
const kafkaPartitions = 4;

export const serverOfKafka: Server = {
  url: `kafka://${kafkaHost}`,
  version: async () => {
    const admin = adminOfKafka();
    try {
      await admin.metadata({ topics: [] });
      return "Kafka";
    } catch {
      return undefined;
    } finally {
      await admin.close();
    }
  },
  prepare: async (prefix) => {
    const admin = adminOfKafka();
    await admin.createTopics({
      topics: [`${prefix}.raw`],
      partitions: kafkaPartitions,
      replicas: 1,
    });
    await admin.close();
  },
  clean: async (prefix) => {
    const admin = adminOfKafka();
    const topics = (await admin.listTopics()).filter((name) => name.startsWith(`${prefix}.`));
    if (topics.length > 0) await admin.deleteTopics({ topics });
    for (const group of (await admin.listGroups()).keys())
      if (group.startsWith(`${prefix}.`))
        await admin.deleteGroups({ groups: [group] }).catch(() => undefined);
    await admin.close();
  },
};

function adminOfKafka(): Admin {
  return new Admin({
    clientId: "bench",
    bootstrapBrokers: [kafkaHost],
    timeout: 3_000,
    retries: 0,
  });
}
