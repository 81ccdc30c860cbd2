import type {
  Listener,
  ReceiveOptions,
  Receiver,
  Source,
  Transport,
  TransportFactory,
  TransportHost,
} from "@waybill/core";
import { Dice } from "./faults/dice.ts";
import { FaultyReceiver } from "./faults/receiver.ts";
import { faultySend } from "./faults/send.ts";
import type { FaultCounts, FaultPlan } from "./faults/plan.ts";

export interface FaultOptions {
  /** Decides which message meets which fault. The same seed and the same calls give the same faults. Default 1. */
  readonly seed?: number;
  readonly plan: FaultPlan;
}

/** A transport with faults on the way. */
export interface FaultyFactory extends TransportFactory {
  /** What was injected so far. */
  readonly injected: FaultCounts;
  /** Injects nothing from now on, so that a test can let everything come to rest. */
  calm(): void;
}

/**
 * Wraps any transport and injects what a network and a broker may do within at-least-once delivery. It never loses
 * a message and never breaks the order within a partition of a stream.
 *
 * @example
 * const transport = withFaults(memory(), { seed: 7, plan: { duplicate: 0.1, dropSettlement: 0.05 } });
 */
export function withFaults(
  factory: TransportFactory,
  { seed = 1, plan }: FaultOptions,
): FaultyFactory {
  const dice = new Dice(seed, plan);
  return {
    name: factory.name,
    get injected(): FaultCounts {
      return dice.counts;
    },
    calm: () => dice.calm(),
    open: async (host) => faulty(await factory.open(host), host, dice),
  };
}

function faulty(transport: Transport, host: TransportHost, dice: Dice): Transport {
  const receivers = new Set<FaultyReceiver>();
  return {
    name: transport.name,
    capabilities: transport.capabilities,
    inspection: transport.inspection,
    declare: (topology) => transport.declare(topology),
    send: (batch) => faultySend(transport, batch, dice),
    receive: (source: Source, options: ReceiveOptions, listener: Listener): Receiver => {
      const receiver = new FaultyReceiver({
        host,
        dice,
        listener,
        inOrder: source.kind === "stream",
      });
      receivers.add(receiver);
      receiver.begin(transport.receive(source, options, receiver));
      return receiver;
    },
    [Symbol.asyncDispose]: async () => {
      for (const receiver of receivers) receiver.forget();
      await transport[Symbol.asyncDispose]();
    },
  };
}
