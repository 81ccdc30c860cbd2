import type { Codec } from "./codec.ts";
import { messageOf } from "./errors.ts";
import { Counters } from "./operating/counters.ts";
import type { Logger } from "./ports/logger.ts";
import type { TransportHost } from "./ports/transport.ts";
import type { WireTransform } from "./ports/wire.ts";
import type { Runtime } from "./runtime.ts";
import { type Broker, Homes } from "./split/homes.ts";
import { Neighbours } from "./split/neighbours.ts";
import {
  type Kind,
  type Share,
  type SplitTransports,
  type TransportChoice,
  sharesOf,
} from "./split/options.ts";
import { SplitTransport } from "./split/transport.ts";
import { loadTelemetry } from "./telemetry.ts";
import { transportOf } from "./transport-url.ts";
import { formerDestinations } from "./wiring/former-names.ts";
import type { AnyContract } from "./wiring/uses.ts";
import type { DeclareMode } from "./wiring/verifying.ts";
import { WiredTransport } from "./wire/transport.ts";
import { Wire } from "./wire/wire.ts";

export interface OpenParts extends Pick<
  Runtime,
  "environment" | "callDepth" | "vigil" | "instance"
> {
  readonly transport: TransportChoice | SplitTransports;
  readonly logger: Logger;
  readonly codec: Codec;
  readonly wire: readonly WireTransform[];
  readonly contracts: readonly AnyContract[];
  readonly declare: DeclareMode;
}

type Shared = Omit<
  Runtime,
  "transport" | "wire" | "telemetry" | "brokers" | "byKind" | "neighbours"
>;

/** Opens every broker that the bus needs. When one of them refuses, those that were opened are closed again. */
export async function openRuntime(parts: OpenParts): Promise<Runtime> {
  const { transport, wire: _wire, contracts, declare: _declare, ...given } = parts;
  const shared: Shared = { ...given, counters: new Counters() };
  const opened: Runtime[] = [];
  try {
    for (const share of sharesOf(transport, contracts))
      opened.push(await openOne(share, parts, shared));
  } catch (error) {
    for (const each of opened) await closeAfterFailure(each);
    throw error;
  }
  const [first, ...others] = opened as [Runtime, ...Runtime[]];
  return others.length === 0 ? first : joined([first, ...others], parts);
}

async function openOne(
  { choice, kinds }: Share,
  { wire, contracts, declare }: OpenParts,
  shared: Shared,
): Promise<Runtime> {
  const { environment, logger, instance, counters } = shared;
  const factory = typeof choice === "string" ? await transportOf(choice) : choice;
  const telemetry = await loadTelemetry(factory.name, environment.clock);
  const transport = await factory.open({
    environment,
    logger,
    instance,
    unrouted: reportUnrouted(counters, logger),
    duplicate: ({ header }) => void (counters.of(header.type).duplicates += 1),
    mayCreate: declare === "create",
  });
  const plain: Runtime = {
    ...shared,
    telemetry,
    transport,
    wire: undefined,
    brokers: [{ kinds, transport }],
    byKind: undefined,
    neighbours: undefined,
  };
  if (wire.length === 0) return plain;
  try {
    const sealing = new Wire(wire, {
      environment,
      logger,
      transportName: transport.name,
      bodyBytesMax: transport.capabilities.bodyBytesMax,
      formerly: formerDestinations(contracts),
    });
    const wired = new WiredTransport(transport, sealing);
    return { ...plain, transport: wired, wire: sealing, brokers: [{ kinds, transport: wired }] };
  } catch (error) {
    await closeAfterFailure(plain);
    throw error;
  }
}

/** Several as one, and each kind in its own. */
function joined(opened: readonly [Runtime, ...Runtime[]], { contracts }: OpenParts): Runtime {
  const [first, ...others] = opened;
  const brokers = [first, ...others].flatMap((each) => each.brokers);
  const homes = new Homes(brokers as [Broker, ...Broker[]], contracts);
  const whole = new SplitTransport(homes);
  const byKind = new Map<Kind, Runtime>();
  for (const each of opened)
    for (const broker of each.brokers) {
      const own = { ...each, brokers, neighbours: new Neighbours(whole, homes, broker) };
      for (const kind of broker.kinds) byKind.set(kind, own);
    }
  return { ...first, transport: whole, wire: roomiest(opened), brokers, byKind };
}

/** Of the same transforms, the one that seals the largest bodies: each broker refuses by itself what is too large for it. */
function roomiest(opened: readonly Runtime[]): Wire | undefined {
  const wires = opened.flatMap(({ wire }) => wire ?? []);
  return wires.toSorted((one, other) => other.bodyBytesMax - one.bodyBytesMax)[0];
}

/** Errors are logged. */
export async function closeAfterFailure({
  brokers,
  logger,
}: Pick<Runtime, "brokers" | "logger">): Promise<void> {
  for (const { transport } of brokers) {
    try {
      await transport[Symbol.asyncDispose]();
    } catch (error) {
      logger.error(`${transport.name} did not close well: ${messageOf(error)}`);
    }
  }
}

function reportUnrouted(counters: Counters, logger: Logger): TransportHost["unrouted"] {
  return ({ header }, topic) => {
    counters.of(header.type).unrouted += 1;
    const text = `"${header.type}" was published and no service subscribes to it. It is kept among the dead letters of "${topic}/"; replay it when a subscriber is there.`;
    logger.warn(text, { id: header.id });
  };
}
