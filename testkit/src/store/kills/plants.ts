import type {
  Delivery,
  Outgoing,
  Store,
  StoreFactory,
  Transport,
  TransportFactory,
} from "@waybill/core";
import { reallyWait } from "../../environment.ts";
import { overridden } from "./overridden.ts";

/** Mistakes that lose or double something when a process dies, and that the ledger has to notice. */
export const plantedMistakes = [
  "no inbox",
  "publish before commit",
  "acknowledge before commit",
  "forget before sending",
] as const;

export type PlantedMistake = (typeof plantedMistakes)[number];

/** What a worker runs on, with the mistake in it. */
export interface Ground<Client> {
  readonly transport: TransportFactory;
  readonly store: StoreFactory<Client>;
}

/** So long a kill may come between a thing and the next one that the mistake has put behind it. */
const exposedMs = 40;

export function planted<Client>(
  { transport, store }: Ground<Client>,
  mistake: PlantedMistake | undefined,
): Ground<Client> {
  switch (mistake) {
    case undefined:
      return { transport, store };
    case "no inbox":
      return { transport, store: claimingAll(store) };
    case "publish before commit":
      return publishingFirst({ transport, store });
    case "acknowledge before commit":
      return { transport: acknowledgingFirst(transport), store };
    case "forget before sending":
      return { transport, store: forgettingFirst(store) };
  }
}

/** A settlement takes a moment to arrive, as over a network: so a kill can come between a COMMIT and its acknowledgement. */
export function settlingLate(factory: TransportFactory): TransportFactory {
  return receiving(factory, (delivery) => {
    const settle = delivery.settle.bind(delivery);
    delivery.settle = async (settlement) => {
      await reallyWait(exposedMs);
      return settle(settlement);
    };
  });
}

function acknowledgingFirst(factory: TransportFactory): TransportFactory {
  return receiving(factory, (delivery) => {
    void delivery.settle({ kind: "complete" });
    delivery.settle = () => Promise.resolve("settled");
  });
}

function receiving(
  factory: TransportFactory,
  change: (delivery: Delivery) => void,
): TransportFactory {
  return {
    name: factory.name,
    open: async (host) => {
      const inner = await factory.open(host);
      const receive: Transport["receive"] = (source, options, listener) =>
        inner.receive(source, options, {
          fault: (error) => listener.fault(error),
          deliver: (batch) => {
            for (const delivery of batch) change(delivery);
            listener.deliver(batch);
          },
        });
      return overridden(inner, { receive });
    },
  };
}

function opening<Client>(
  factory: StoreFactory<Client>,
  change: (store: Store<Client>) => Partial<Store<Client>>,
): StoreFactory<Client> {
  return overridden(factory, {
    open: async (host) => {
      const store = await factory.open(host);
      return overridden(store, change(store));
    },
  });
}

function claimingAll<Client>(factory: StoreFactory<Client>): StoreFactory<Client> {
  return opening(factory, (store) => ({
    transaction: (work, options) =>
      store.transaction((each) => work(overridden(each, { claim: () => true })), options),
  }));
}

function publishingFirst<Client>({ transport, store }: Ground<Client>): Ground<Client> {
  let opened: Transport | undefined;
  const send = async (batch: readonly Outgoing[]): Promise<void> => opened?.send(batch);
  return {
    transport: overridden(transport, {
      open: async (host) => (opened = await transport.open(host)),
    }),
    store: opening(store, (inner) => ({
      transaction: (work, options) =>
        inner.transaction((each) => work(overridden(each, { append: send })), options),
    })),
  };
}

function forgettingFirst<Client>(factory: StoreFactory<Client>): StoreFactory<Client> {
  return overridden(factory, {
    open: async (host) => {
      const store: Store<Client> = await factory.open({
        ...host,
        committed: (rows) =>
          void store.outbox
            .sent(rows)
            .then(() => reallyWait(exposedMs))
            .then(() => host.committed(rows)),
      });
      return store;
    },
  });
}
