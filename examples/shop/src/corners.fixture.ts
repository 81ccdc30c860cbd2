import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { Admin } from "@platformatic/kafka";
import { sleep, systemEnvironment } from "waybill";

/** A place of one's own on a server that tests share. */
export interface Corner {
  /** For `--transport`. */
  readonly url: string;
  /** What a shop has left there. */
  names(): Promise<readonly string[]>;
  /** Removes all of it. */
  remove(): Promise<void>;
  /** Leaves the server. */
  close(): Promise<void>;
}

const run = promisify(execFile);
const removingMsMax = 30_000;

/** A virtual host. */
export async function onRabbitmq(): Promise<Corner> {
  const vhost = ownName();
  const control = async (...parameters: readonly string[]): Promise<string> => {
    const patience = { timeout: 60_000, killSignal: "SIGKILL" } as const;
    return (await run("rabbitmqctl", ["--quiet", ...parameters], patience)).stdout;
  };
  await control("add_vhost", vhost);
  await control("set_permissions", "-p", vhost, "guest", ".*", ".*", ".*");
  return {
    url: `amqp://127.0.0.1:5672/${vhost}`,
    names: async () => {
      // A virtual host that is not there has no queues either.
      const vhosts = (await control("list_vhosts", "name", "--no-table-headers")).split("\n");
      if (!vhosts.includes(vhost)) return [];
      const queues = await control("list_queues", "-p", vhost, "name", "--no-table-headers");
      return [vhost, ...queues.split("\n").filter((name) => name !== "")];
    },
    remove: async () => void (await control("delete_vhost", vhost)),
    close: () => Promise.resolve(),
  };
}

/** Streams with a prefix. */
export async function onNats(): Promise<Corner> {
  const prefix = ownName();
  const connection = await connect({ servers: "127.0.0.1:4222", timeout: 10_000 });
  const { streams } = await jetstreamManager(connection);
  const names = async (): Promise<readonly string[]> => {
    const all: string[] = [];
    for await (const name of streams.names()) if (name.startsWith(prefix)) all.push(name);
    return all;
  };
  return {
    url: `nats://127.0.0.1:4222?prefix=${prefix}`,
    names,
    remove: async () => {
      for (const name of await names()) await streams.delete(name);
    },
    close: () => connection.close(),
  };
}

/** Topics and groups with a prefix. */
export async function onKafka(): Promise<Corner> {
  const prefix = ownName();
  const broker = "127.0.0.1:9092";
  const admin = new Admin({ clientId: prefix, bootstrapBrokers: [broker] });
  const own = (names: Iterable<string>): string[] =>
    [...names].filter((name) => name.startsWith(prefix));
  const names = async (): Promise<readonly string[]> => [
    ...own(await admin.listTopics()),
    ...own((await admin.listGroups()).keys()),
  ];
  const removeOnce = async (): Promise<void> => {
    const topics = own(await admin.listTopics());
    if (topics.length > 0) await admin.deleteTopics({ topics });
    const groups = own((await admin.listGroups()).keys());
    if (groups.length > 0) await admin.deleteGroups({ groups });
  };
  return {
    url: `kafka://${broker}?prefix=${prefix}`,
    names,
    remove: async () => {
      const { clock, timers } = systemEnvironment;
      const giveUpAt = clock.monotonic() + removingMsMax;
      // A broker lists for a moment what was just deleted, and a process that was killed is of its group until its session ends.
      while (clock.monotonic() < giveUpAt) {
        await removeOnce().catch(() => undefined);
        if ((await names()).length === 0) return;
        await sleep(timers, 100);
      }
      await removeOnce();
    },
    close: () => admin.close(),
  };
}

function ownName(): string {
  return `test-${systemEnvironment.id().replaceAll("-", "").slice(-12)}`;
}
