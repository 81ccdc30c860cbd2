import type { Transport, TransportFactory, TransportHost } from "../ports/transport.ts";
import { Engine } from "./engine.ts";
import { Kernel } from "./kernel.ts";
import { type MemoryOptions, limitsOf } from "./options.ts";
import { MemoryTransport } from "./transport.ts";

/** A broker in this process, shared by every bus that opens this value. */
export interface MemoryBroker extends TransportFactory {
  /**
   * Whether nothing moves until time passes or somebody sends: nothing is delivered and unsettled, no receiver has
   * a turn coming, and so nothing waits that a receiver with room could take. What is scheduled, deferred, dead or
   * locked by a crashed instance does not count.
   */
  quiet(): boolean;
  /** Calls back each time `quiet()` becomes true. Answers how to end that. */
  onQuiet(listener: () => void): () => void;
  /** As if the process of that instance had been killed: nothing is given back, its locks run out, its sends fail with CLOSED. */
  crash(instance: string): void;
}

/**
 * Keeps messages in memory, with the semantics of every other transport: locks, attempts, dead letters, rules,
 * schedules, streams. Two buses that open the same value are two processes on one broker. Messages are gone when
 * the process ends. The broker's clock is that of the first bus that opens it.
 *
 * @example
 * await using bus = await connect({ transport: memory(), services: [ordering] });
 */
export function memory(options: MemoryOptions = {}): MemoryBroker {
  const limits = limitsOf(options);
  const transports = new Set<MemoryTransport>();
  let engine: Engine | undefined;
  const listeners = new Set<() => void>();
  const tell = (): void => listeners.forEach((listener) => listener());
  return {
    name: "memory",
    async open(host: TransportHost): Promise<Transport> {
      engine ??= new Engine(new Kernel(host, limits, tell));
      const transport = new MemoryTransport(
        engine,
        host,
        (closed) => void transports.delete(closed),
      );
      transports.add(transport);
      return transport;
    },
    quiet: () => engine?.kernel.activity.quiet ?? true,
    onQuiet: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    crash: (instance) => {
      for (const transport of transports) if (transport.instance === instance) transport.kill();
    },
  };
}
