import type { Topology } from "@waybill/core";
import { connect } from "@nats-io/transport-node";
import { jetstreamManager } from "@nats-io/jetstream";
import { settingsOf } from "./options.ts";
import { Plan } from "./plan.ts";

/** Makes by hand what the definitions of a topology list. */
export async function makeByHand(
  server: string,
  topology: Topology,
  prefix: string,
): Promise<void> {
  const plan = await Plan.of(topology, settingsOf({ url: `nats://${server}`, prefix }));
  const connection = await connect({ servers: server, timeout: 10_000 });
  const { streams, consumers } = await jetstreamManager(connection);
  for (const config of plan.streams) await streams.add(config);
  for (const { stream, config } of plan.consumers) await consumers.add(stream, config);
  await connection.close();
}
