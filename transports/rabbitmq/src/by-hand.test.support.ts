import type { Topology } from "@waybill/core";
import { connect } from "amqplib";
import { Plan } from "./plan.ts";
import { Names } from "./topology.ts";

/** Makes by hand what the definitions of a topology list. */
export async function makeByHand(url: string, topology: Topology): Promise<void> {
  const plan = await Plan.of(topology, new Names(""));
  const connection = await connect(url, { timeout: 10_000 });
  const channel = await connection.createChannel();
  for (const [name, options] of plan.queues) await channel.assertQueue(name, options);
  for (const [name, { type, options }] of plan.exchanges)
    await channel.assertExchange(name, type, options);
  for (const { kind, source, target, pattern } of plan.bindings.values())
    if (kind === "queue") await channel.bindQueue(target, source, pattern);
    else await channel.bindExchange(target, source, pattern);
  await connection.close();
}
