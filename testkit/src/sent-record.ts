import type {
  Outgoing,
  Sending,
  Settlement,
  SplitTransports,
  Transport,
  TransportChoice,
  TransportFactory,
  UserStep,
} from "@waybill/core";

export interface SentRecord {
  /** The transport, with what leaves through it recorded. */
  readonly transport: TransportFactory | SplitTransports;
  /** Remembers values before they are encoded, so that assertions see what the code sent and not its JSON. */
  readonly step: UserStep;
  /** Values of that contract that were stored, in order. */
  of(contract: string): readonly any[];
}

/** Records what leaves. A message counts when the transport took it, so what a failed handler held never does. */
export function recordSent(transport: TransportFactory | SplitTransports): SentRecord {
  const made = new Map<string, unknown>();
  const left: { readonly contract: string; readonly value: unknown }[] = [];
  const take = (batch: readonly Outgoing[]): void => {
    for (const { envelope } of batch) {
      const { id, type } = envelope.header;
      if (!made.has(id)) continue;
      left.push({ contract: type, value: made.get(id) });
      made.delete(id);
    }
  };
  const watched = (factory: TransportFactory): TransportFactory => ({
    name: factory.name,
    open: async (host) => recording(await factory.open(host), take),
  });
  return {
    transport:
      typeof transport.open === "function" ? watched(transport) : watchedEach(transport, watched),
    step: {
      direction: "outgoing",
      after: "validate",
      step: {
        name: "record",
        wrap: (next) => (message: Sending) => {
          made.set(message.header.id, message.value);
          return next(message);
        },
      },
    },
    of: (contract) => left.filter((each) => each.contract === contract).map(({ value }) => value),
  };
}

/** One that is named for several kinds stays one. */
function watchedEach(
  split: SplitTransports,
  watch: (factory: TransportFactory) => TransportFactory,
): SplitTransports {
  const known = new Map<TransportFactory, TransportFactory>();
  const entries = Object.entries(split as Readonly<Record<string, TransportChoice>>);
  const watched = entries.map(([kind, choice]) => {
    if (typeof choice === "string") return [kind, choice];
    const one = known.get(choice) ?? watch(choice);
    known.set(choice, one);
    return [kind, one];
  });
  return Object.fromEntries(watched) as SplitTransports;
}

function recording(inner: Transport, take: (batch: readonly Outgoing[]) => void): Transport {
  return {
    name: inner.name,
    capabilities: inner.capabilities,
    inspection: inner.inspection,
    declare: (topology) => inner.declare(topology),
    send: async (batch) => {
      await inner.send(batch);
      take(batch);
    },
    receive: (source, options, listener) =>
      inner.receive(source, options, {
        fault: (error) => listener.fault(error),
        deliver: (batch) => {
          for (const delivery of batch) {
            const settle = delivery.settle.bind(delivery);
            delivery.settle = async (settlement: Settlement) => {
              const settled = await settle(settlement);
              if (settlement.kind === "complete" && settled === "settled")
                take(settlement.send ?? []);
              return settled;
            };
          }
          listener.deliver(batch);
        },
      }),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
}
