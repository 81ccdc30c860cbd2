import { type Logger, type StreamSpec, WaybillError } from "@waybill/core";
import type { Channel } from "amqplib";
import { brokerError } from "../errors.ts";
import { type Names, quorum } from "../topology.ts";

export interface StreamDeclaring {
  readonly names: Names;
  readonly logger: Logger;
  /** Does something on a channel of its own. */
  readonly channel: <Result>(work: (channel: Channel) => Promise<Result>) => Promise<Result>;
}

const mebibyte = 1024 * 1024;
const groupLogBytes = 8 * mebibyte;
/** RabbitMQ removes whole segments only, and never the one that it writes to. */
const segmentBytesMax = 64 * mebibyte;
const segmentBytesMin = 64 * 1024;
const segmentsKept = 8;

/** Creates the queues of a stream. Throws WIRING_INVALID when it exists with another number of partitions. */
export async function declareStream(
  { names, logger, channel }: StreamDeclaring,
  spec: StreamSpec,
): Promise<void> {
  await channel((open) => declareGroupLog(open, names, spec));
  for (let partition = 0; partition < spec.partitions; partition++) {
    const queue = names.partition(spec.name, partition);
    try {
      await channel((open) =>
        open.assertQueue(queue, { durable: true, arguments: argumentsOf(spec) }),
      );
    } catch (error) {
      if (!isRetentionOnly(brokerError("Declaring", error))) throw error;
      logger.warn(
        `RabbitMQ keeps "${queue}" as it was declared first. Set what it retains by a policy (max-age, max-length-bytes).`,
      );
    }
  }
}

/** RabbitMQ compares the arguments of a queue that is there; so the number of partitions stands among them, as odd bytes of the log's size. */
async function declareGroupLog(
  channel: Channel,
  names: Names,
  { name, partitions }: StreamSpec,
): Promise<void> {
  try {
    await channel.assertQueue(names.groupLog(name), {
      durable: true,
      arguments: {
        "x-queue-type": "stream",
        "x-max-length-bytes": groupLogBytes + partitions,
        "x-stream-max-segment-size-bytes": mebibyte,
      },
    });
  } catch (cause) {
    const had = /x-max-length-bytes.*current is '(\d+)'/.exec(brokerError("", cause).message)?.[1];
    if (had === undefined) throw cause;
    throw new WaybillError(
      "WIRING_INVALID",
      `The stream "${name}" has ${Number(had) - groupLogBytes} partitions, not ${partitions}: another number would move keys. Declare it as it is, or give the new one another name.`,
      { cause },
    );
  }
}

/** How many partitions somebody declared; undefined when there is no such stream. */
export async function partitionsOf(
  names: Names,
  stream: string,
  exists: (queue: string) => Promise<boolean>,
): Promise<number | undefined> {
  if (!(await exists(names.groupLog(stream)))) return undefined;
  let partitions = 0;
  while (await exists(names.partition(stream, partitions))) partitions += 1;
  return partitions === 0 ? undefined : partitions;
}

/** What a group needs beside its place in the log. */
export async function declareGroup(channel: Channel, queue: string, dead: string): Promise<void> {
  for (const each of [dead, queue])
    await channel.assertQueue(each, { durable: true, arguments: quorum });
}

function argumentsOf({ retention: { ageMs, bytes } }: StreamSpec): Record<string, unknown> {
  const kept = bytes === undefined ? segmentBytesMax : Math.ceil(bytes / segmentsKept);
  return {
    "x-queue-type": "stream",
    "x-stream-max-segment-size-bytes": Math.min(segmentBytesMax, Math.max(segmentBytesMin, kept)),
    ...(ageMs !== undefined && { "x-max-age": `${Math.max(1, Math.ceil(ageMs / 1_000))}s` }),
    ...(bytes !== undefined && { "x-max-length-bytes": bytes }),
  };
}

function isRetentionOnly({ code, message }: WaybillError): boolean {
  return (
    code === "WIRING_INVALID" &&
    /x-max-age|x-max-length-bytes|x-stream-max-segment-size-bytes/.test(message)
  );
}
