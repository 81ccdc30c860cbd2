import { type Command, type Event, type Schema, command, event } from "@waybill/contracts";
import {
  type Bus,
  type Delivery,
  type Outgoing,
  type Store,
  type StoreFactory,
  type StoreTransaction,
  type Transport,
  type TransportFactory,
  type ViewRows,
  connect,
  memory,
  service,
} from "@waybill/core";
import type { StoreStage } from "./stage.ts";

export interface Item {
  readonly text: string;
}

const item: Schema<Item> = {
  "~standard": { version: 1, vendor: "waybill", validate: (value) => ({ value: value as Item }) },
};
export const Work: Command<"store-suite.work", Item> = command("store-suite.work", { input: item });
export const Done: Event<"store-suite.done", Item> = event("store-suite.done", { payload: item });

/** What goes wrong, and when. Each may throw. */
export interface Trouble {
  /** The handler has run, and its transaction is about to be committed. */
  readonly beforeCommit?: (text: string) => void | Promise<void>;
  /** It is committed, and nobody has been told. */
  readonly afterCommit?: (text: string) => void | Promise<void>;
  /** In place of removing what was sent. */
  readonly instead?: () => Promise<void>;
  readonly beforeBegin?: () => void;
  /** All is written, and the commit itself fails. */
  readonly atCommit?: () => void;
  readonly inHandler?: (text: string, delivery: Delivery | undefined) => void;
  readonly beforeSend?: (batch: readonly Outgoing[]) => void;
}

export interface Application {
  readonly bus: Bus;
  readonly store: StoreFactory;
  /** How often each was handled to its end or to an error. */
  readonly runs: string[];
  /** What reached the subscriber, with its id, repeated or not. */
  readonly arrived: { readonly id: string; readonly text: string }[];
  send(text: string, id?: string): Promise<unknown>;
}

/** A service with a store that writes and publishes one thing for each command, and one that listens. */
export async function application(
  stage: StoreStage,
  trouble: Trouble = {},
  transport: TransportFactory = memory(),
): Promise<Application> {
  const store = troubled(stage, trouble);
  const runs: string[] = [];
  const arrived: { id: string; text: string }[] = [];
  const deliveries = new Map<string, Delivery>();
  const working = service("working", { publishes: [Done], store }).handle(
    Work,
    async ({ text }, { transaction, publish, header }) => {
      runs.push(text);
      await stage.write(transaction, text);
      await publish(Done, { text });
      trouble.inHandler?.(text, deliveries.get(header.id));
      await trouble.beforeCommit?.(text);
    },
  );
  const watching = service("watching").on(Done, ({ text }, { header }) => {
    arrived.push({ id: header.id, text });
  });
  const bus = await connect({
    transport: watched(transport, deliveries, trouble),
    services: [working, watching],
    logger: stage.logger,
    handlers: { lockMs: 1_000, retry: { immediate: 0, attempts: 50, delayMs: 2, factor: 1 } },
  });
  stage.closing(() => bus.close({ deadlineMs: 30_000 }));
  const send = (text: string, id = text): Promise<unknown> => bus.send(Work, { text }, { id });
  return { bus, store, runs, arrived, send };
}

/** The case's store, with what goes wrong. */
export function troubled({ subject, plant }: StoreStage, trouble: Trouble): StoreFactory {
  const factory = subject.factory();
  return {
    name: factory.name,
    migrations: factory.migrations,
    alarmAfterMs: { degraded: 20, failed: 3_600_000 },
    takeOverAfterMs: factory.takeOverAfterMs,
    open: async (host) => {
      const store = await factory.open(host);
      return plant({
        name: store.name,
        outbox: outboxOf(store, trouble),
        sagas: store.sagas,
        views: store.views,
        schedules: store.schedules,
        events: store.events,
        transaction: async (work, options) => {
          trouble.beforeBegin?.();
          let claimed = "";
          const noting = (transaction: StoreTransaction): StoreTransaction => ({
            client: transaction.client,
            sagas: transaction.sagas,
            views: viewsOf(transaction, (message) => void (claimed = message)),
            schedules: transaction.schedules,
            events: transaction.events,
            append: (batch, stream) => {
              claimed ||= batch[0]?.envelope.header.id ?? "";
              return transaction.append(batch, stream);
            },
            claim: (address, message) => {
              claimed = message;
              return transaction.claim(address, message);
            },
          });
          const result = await store.transaction(async (each) => {
            const answer = await work(noting(each));
            if (claimed !== "") trouble.atCommit?.();
            return answer;
          }, options);
          if (claimed !== "") await trouble.afterCommit?.(claimed);
          return result;
        },
        [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
      });
    },
  };
}

/** The same, and says what is claimed. */
function viewsOf({ views }: StoreTransaction, noted: (message: string) => void): ViewRows {
  return {
    find: (key) => views.find(key),
    list: (page) => views.list(page),
    load: (place) => views.load(place),
    save: (place, row) => views.save(place, row),
    advance: (mark) => views.advance(mark),
    claim: (message) => {
      noted(message.message);
      return views.claim(message);
    },
  };
}

function outboxOf({ outbox }: Store, { instead }: Trouble): Store["outbox"] {
  return new Proxy(outbox, {
    get: (target, name) => {
      if (name === "sent" && instead !== undefined) return instead;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

/** The transport, with what goes wrong. */
export function watched(
  factory: TransportFactory,
  deliveries: Map<string, Delivery>,
  { beforeSend }: Trouble,
): TransportFactory {
  return {
    name: factory.name,
    open: async (host): Promise<Transport> => {
      const transport = await factory.open(host);
      return {
        name: transport.name,
        capabilities: transport.capabilities,
        inspection: transport.inspection,
        declare: (topology) => transport.declare(topology),
        send: async (batch) => {
          beforeSend?.(batch);
          await transport.send(batch);
        },
        receive: (source, options, listener) =>
          transport.receive(source, options, {
            fault: (error) => listener.fault(error),
            deliver: (batch) => {
              for (const each of batch) deliveries.set(each.envelope.header.id, each);
              listener.deliver(batch);
            },
          }),
        [Symbol.asyncDispose]: () => transport[Symbol.asyncDispose](),
      };
    },
  };
}
