import type {
  Outgoing,
  Sending,
  Settlement,
  Transport,
  TransportFactory,
  UserStep,
} from "@waybill/core";

export interface SentRecord {
  /** The transport, with what leaves through it recorded. */
  readonly transport: TransportFactory;
  /** Remembers values before they are encoded, so that assertions see what the code sent and not its JSON. */
  readonly step: UserStep;
  /** Values of that contract that were stored, in order. */
  of(contract: string): readonly any[];
}

/** Records what leaves. A message counts when the transport took it, so what a failed handler held never does. */
export function recordSent(factory: TransportFactory): SentRecord {
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
  return {
    transport: {
      name: factory.name,
      open: async (host) => recording(await factory.open(host), take),
    },
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
