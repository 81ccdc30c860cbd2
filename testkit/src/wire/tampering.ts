import type { Envelope, Outgoing, Settlement, Transport, TransportFactory } from "@waybill/core";

/** Stands where a stranger with access to the broker stands: sees what is sent, changes it, sends more. */
export interface Tampering extends TransportFactory {
  /** Everything that was sent, as it was sent, in order. */
  readonly seen: readonly Outgoing[];
  /** What becomes of each envelope from now on: itself when undefined. */
  change: ((envelope: Envelope) => Envelope) | undefined;
  /** Sends as if from the application, sealed by nobody. */
  inject(batch: readonly Outgoing[]): Promise<void>;
}

export function tampering(factory: TransportFactory): Tampering {
  const seen: Outgoing[] = [];
  const opened: Transport[] = [];
  const pass = (batch: readonly Outgoing[]): readonly Outgoing[] => {
    seen.push(...batch);
    const { change } = stranger;
    if (change === undefined) return batch;
    return batch.map((outgoing) => ({ ...outgoing, envelope: change(outgoing.envelope) }));
  };
  const stranger: Tampering = {
    name: factory.name,
    seen,
    change: undefined,
    inject: async (batch) => {
      const transport = opened.at(-1);
      if (transport === undefined) throw new Error("nobody has connected yet");
      await transport.send(batch);
    },
    open: async (host) => {
      const inner = await factory.open(host);
      opened.push(inner);
      return between(inner, pass);
    },
  };
  return stranger;
}

function between(
  inner: Transport,
  pass: (batch: readonly Outgoing[]) => readonly Outgoing[],
): Transport {
  return {
    name: inner.name,
    capabilities: inner.capabilities,
    inspection: inner.inspection,
    declare: (topology) => inner.declare(topology),
    send: (batch) => inner.send(pass(batch)),
    receive: (source, options, listener) =>
      inner.receive(source, options, {
        fault: (error) => listener.fault(error),
        deliver: (batch) => {
          for (const delivery of batch) {
            const settle = delivery.settle.bind(delivery);
            delivery.settle = (settlement: Settlement) =>
              settle(
                settlement.kind === "complete" && settlement.send !== undefined
                  ? { kind: "complete", send: pass(settlement.send) }
                  : settlement,
              );
          }
          listener.deliver(batch);
        },
      }),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
}
