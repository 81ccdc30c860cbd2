import { embedded } from "@waybill/broker";
import { type Command, type Event, type Schema, command, event } from "@waybill/contracts";
import { type Store, type StoreFactory, connect, saga, service } from "@waybill/core";
import { type SqliteTransaction, sqlite } from "./index.ts";

export const moments = [
  "before the commit",
  "after the commit",
  "between sending and marking",
] as const;

const text: Schema<string> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as string }) },
};
export const Work: Command<"kill.work", string> = command("kill.work", { input: text });
export const Done: Event<"kill.done", string> = event("kill.done", { payload: text });
/** What the saga of that process counts. */
export const Count: Command<"kill.count", string> = command("kill.count", { input: text });
export const Counted: Event<"kill.counted", string> = event("kill.counted", { payload: text });

const texts: Schema<string[]> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as string[] }) },
};

/** The process: `kill.fixture.ts <directory> <moment, or "never">`. At that moment it kills itself. */
if (import.meta.main) await run(process.argv[2] ?? "", process.argv[3] ?? "");

async function run(directory: string, moment: string): Promise<void> {
  const die = (when: (typeof moments)[number]): void => {
    if (moment === when) process.kill(process.pid, "SIGKILL");
  };
  const store = mortal(sqlite({ file: `${directory}/store.db` }), die);
  const working = service("working", { publishes: [Done], store }).handle(
    Work,
    async (name, { transaction, publish }) => {
      transaction.prepare("insert into effect (text) values (?)").run(name);
      await publish(Done, name);
      die("before the commit");
    },
    { lockMs: 1_000, retry: { attempts: 1_000 } },
  );
  const by = (): string => "all";
  const counting = saga("counting", {
    store,
    state: texts,
    phases: ["counting", "counted"],
    publishes: [Counted],
    handlers: { lockMs: 1_000, retry: { attempts: 1_000 } },
  })
    .startedBy(Count, { by, state: (name) => [name], to: ["counting"] }, async (name, own) => {
      await own.publish(Counted, name);
      die("before the commit");
      return "counting";
    })
    .on(Count, { by, in: ["counting"], to: ["counting", "counted"] }, async (name, own) => {
      own.state.push(name);
      await own.publish(Counted, name);
      die("before the commit");
      return "counting";
    });
  const services = [working, counting];
  const bus = await connect({ transport: embedded({ directory }), services });
  process.on("message", () => void bus.close().then(() => process.exit()));
  process.send?.("ready");
}

function mortal(
  factory: StoreFactory<SqliteTransaction>,
  die: (when: (typeof moments)[number]) => void,
): StoreFactory<SqliteTransaction> {
  return {
    ...factory,
    open: async (host) => {
      const store = await factory.open(host);
      const { outbox } = store;
      const sent = outbox.sent.bind(outbox);
      outbox.sent = (rows) => {
        die("between sending and marking");
        return sent(rows);
      };
      const transaction: Store<SqliteTransaction>["transaction"] = async (work, options) => {
        const result = await store.transaction(work, options);
        die("after the commit");
        return result;
      };
      return {
        name: store.name,
        outbox,
        sagas: store.sagas,
        views: store.views,
        schedules: store.schedules,
        events: store.events,
        transaction,
        [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
      };
    },
  };
}
