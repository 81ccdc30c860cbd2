import { connect } from "@nats-io/transport-node";
import { jetstreamManager } from "@nats-io/jetstream";

/** Removes every stream whose name begins with that prefix, and with it all that lies in it: tests share one server. */
export async function clean(servers: string, prefix: string): Promise<void> {
  const connection = await connect({ servers, timeout: 10_000 });
  const { streams } = await jetstreamManager(connection);
  for await (const name of streams.names())
    if (name.startsWith(`${prefix}_`)) await streams.delete(name);
  await connection.close();
}
