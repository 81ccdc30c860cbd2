import type { Command, Event, Stream } from "@waybill/contracts";
import { WaybillError, messageOf } from "../errors.ts";
import type { Logger } from "../ports/logger.ts";
import { type Pause, type Transport, addressOf } from "../ports/transport.ts";
import type { Running } from "../running.ts";

/**
 * What is paused: an address as `addressOf` writes it (`queue`, `topic/subscription`, `stream@group`), or a contract: a command's queue,
 * and each subscription and group in which a service of this bus handles an event or a stream.
 */
export type PauseTarget = string | Command | Event | Stream;

export interface PauseOptions {
  /** Why, for whoever finds it paused: text of 1 to 500 characters. */
  readonly reason: string;
}

const reasonMax = 500;

/** Throws OPTION_INVALID. */
export function checkPauseReason(reason: unknown): void {
  if (typeof reason === "string" && reason !== "" && reason.length <= reasonMax) return;
  throw new WaybillError(
    "OPTION_INVALID",
    `Say why in text of 1 to ${reasonMax} characters: whoever finds the address paused needs it.`,
  );
}

export function deliversNothing(address: string): never {
  throw new WaybillError(
    "NOT_SUPPORTED",
    `"${address}" are the dead letters of a topic, from which nothing is delivered. Name one of its subscriptions: topic/subscription.`,
  );
}

type Parts = Pick<Running, "runtime" | "wiring">;

/** Ends delivery from all addresses of the target, in every process. Answers which these are. */
export async function pause(
  { runtime, wiring }: Parts,
  target: PauseTarget,
  { reason }: PauseOptions,
): Promise<readonly string[]> {
  const addresses = addressesOf(wiring, target);
  for (const address of addresses) {
    await runtime.transport.inspection.pause(address, reason);
    runtime.logger.info(`"${address}" is paused for all processes: ${reason}`);
  }
  return addresses;
}

/** Answers which of its addresses were paused. */
export async function resume(
  { runtime, wiring }: Parts,
  target: PauseTarget,
): Promise<readonly string[]> {
  const resumed: string[] = [];
  for (const address of addressesOf(wiring, target)) {
    if (!(await runtime.transport.inspection.resume(address))) continue;
    runtime.logger.info(`"${address}" delivers again.`);
    resumed.push(address);
  }
  return resumed;
}

function addressesOf({ intakes }: Parts["wiring"], target: PauseTarget): readonly string[] {
  if (typeof target === "string") return [target];
  if (target.kind === "command") return [target.queue];
  const addresses = intakes
    .filter(({ routes }) => routes.some(({ contract }) => contract.name === target.name))
    .map(({ source }) => addressOf(source));
  if (addresses.length > 0) return addresses;
  throw new WaybillError(
    "NOT_FOUND",
    `No service of this bus handles the ${target.kind} "${target.name}". Name the address: health() lists them.`,
  );
}

/** Whoever starts a service that gets nothing is told why: its address is paused, or forwards. */
export async function tellOfPauses({ runtime, wiring }: Parts): Promise<void> {
  for (const { kinds, transport } of runtime.brokers) {
    const own = wiring.intakes.filter(({ routes }) =>
      routes.some(({ contract }) => kinds.includes(contract.kind)),
    );
    await tellOf(transport, new Set(own.map(({ source }) => addressOf(source))), runtime.logger);
  }
}

async function tellOf(
  transport: Transport,
  own: ReadonlySet<string>,
  logger: Logger,
): Promise<void> {
  if (!transport.capabilities.pause && transport.capabilities.forwardHopsMax === 0) return;
  try {
    for (const { address, paused, forwardsTo } of await transport.inspection.settings()) {
      if (!own.has(address)) continue;
      if (paused !== undefined)
        logger.warn(`${pausedInWords(address, paused)} Resume it with bus.resume("${address}").`);
      if (forwardsTo !== undefined)
        logger.warn(
          `"${address}" forwards to the ${forwardsTo.kind} "${forwardsTo.name}", so its handler here gets nothing. It was renamed: update this service.`,
        );
    }
  } catch (error) {
    logger.warn(`${transport.name} does not say what is paused: ${messageOf(error)}`);
  }
}

export function pausedInWords(address: string, { since, reason }: Pause): string {
  return `${address}: paused since ${new Date(since).toISOString()}: ${reason}`;
}
