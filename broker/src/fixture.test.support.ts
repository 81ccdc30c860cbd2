import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import {
  type Delivery,
  type Environment,
  type Failure,
  type Logger,
  type Outgoing,
  type ReceiveOptions,
  type Receiver,
  type Source,
  systemEnvironment,
  type Topology,
  type Transport,
  type TransportHost,
  type WaybillError,
} from "@waybill/core";
import { type EmbeddedOptions, embedded } from "./index.ts";

export const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** A folder that goes when the test ends. */
export function folder(context: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "waybill-broker-"));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export interface Opening extends Omit<EmbeddedOptions, "directory"> {
  readonly environment?: Environment;
  readonly logger?: Logger;
  readonly instance?: string;
  readonly unrouted?: TransportHost["unrouted"];
}

/** Opens a connection that closes when the test ends. */
export async function open(
  context: TestContext,
  directory: string,
  opening: Opening = {},
): Promise<Transport> {
  const {
    environment = systemEnvironment,
    logger = silent,
    instance = "test",
    unrouted = () => {},
    ...options
  } = opening;
  const transport = await embedded({ directory, ...options }).open({
    environment,
    logger,
    instance,
    unrouted,
  });
  context.after(() => transport[Symbol.asyncDispose]());
  return transport;
}

export function topology(parts: Partial<Topology>): Topology {
  return { queues: [], topics: [], subscriptions: [], streams: [], ...parts };
}

let ids = 0;

export function message(
  to: Outgoing["to"],
  body: string | Uint8Array,
  more: Partial<Outgoing> & { key?: string; type?: string } = {},
): Outgoing {
  const { key, type = "test.message", ...rest } = more;
  const id = `id-${++ids}`;
  const base = {
    specversion: "1.0",
    id,
    source: "/services/test",
    type,
    time: "2030-01-01T00:00:00Z",
    datacontenttype: "text/plain",
    conversationid: id,
  } as const;
  return {
    to,
    envelope: { header: key === undefined ? base : { ...base, partitionkey: key }, body },
    ...rest,
  };
}

export function toQueue(name: string, body: string, more: Partial<Outgoing> = {}): Outgoing {
  return message({ kind: "queue", name }, body, more);
}

export function toStream(name: string, body: string, key: string): Outgoing {
  return message({ kind: "stream", name }, body, { key });
}

export const failure: Failure = {
  reason: "HANDLER_FAILED",
  message: "no",
  service: "s",
  handler: "h",
  attempts: 1,
  firstFailedAt: 1,
  lastFailedAt: 1,
};

/** A receiver that remembers. */
export interface Probe {
  readonly receiver: Receiver;
  readonly deliveries: Delivery[];
  readonly faults: WaybillError[];
  bodies(): string[];
}

export function probe(
  transport: Transport,
  source: Source,
  options: Partial<ReceiveOptions> & { onDelivery?: (delivery: Delivery) => void } = {},
): Probe {
  const { onDelivery, ...rest } = options;
  const deliveries: Delivery[] = [];
  const faults: WaybillError[] = [];
  const receiver = transport.receive(
    source,
    { prefetch: 100, prefetchBytes: 1_000_000, lockMs: 10_000, ...rest },
    {
      deliver: (batch) => {
        deliveries.push(...batch);
        if (onDelivery !== undefined) batch.forEach(onDelivery);
      },
      fault: (error) => void faults.push(error),
    },
  );
  return {
    receiver,
    deliveries,
    faults,
    bodies: () => deliveries.map(({ envelope }) => String(envelope.body)),
  };
}

/** Waits in real time until something holds. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  patienceMs = 10_000,
): Promise<void> {
  for (let waited = 0; !(await holds()); waited += 2) {
    if (waited >= patienceMs) throw new Error(`waited ${patienceMs} ms in vain for: ${what}`);
    await wait(2);
  }
}
