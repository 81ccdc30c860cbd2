import { type Schema, command, event } from "@waybill/contracts";
import {
  type Context,
  type StoreFactory,
  type TransportFactory,
  connect,
  consoleLogger,
  service,
  terminated,
} from "@waybill/core";
import { type Ledger, openLedger } from "../../chaos/ledger.ts";
import { reallyWait } from "../../environment.ts";
import { type Ground, type PlantedMistake, planted, settlingLate } from "./plants.ts";

interface Task {
  readonly id: string;
}

interface Outcome extends Task {
  /** Tells the runs of one task apart. */
  readonly run: string;
}

const any = <Value>(): Schema<Value> => ({
  "~standard": {
    version: 1,
    vendor: "store-kill-suite",
    validate: (value) => ({ value: value as Value }),
  },
});

const DoTask = command("kills.do-task", { input: any<Task>() });
const TaskDone = event("kills.task-done", { payload: any<Outcome>() });

export interface StoreKillWorker<Client> {
  /** A broker whose data live in this folder, for all processes that name it. */
  readonly transportAt: (directory: string) => TransportFactory;
  /** The store that `StoreKillSubject.place` names. */
  readonly storeAt: (place: string) => StoreFactory<Client>;
  /** A row of the user's own, written in the transaction. */
  readonly write: (client: Client, text: string) => void | Promise<void>;
}

const lanes = 8;
const paceMs = 60;
const slowMs = 10;
const lockMs = 2_000;
/** Handlers that fail on purpose are no news. */
const logger = { ...consoleLogger, warn: () => undefined };
/** The row that an HTTP route writes with its command. */
export const routeRun = "route";

/**
 * One process of `storeKillSuite`: the whole of a script that stands beside its tests. `producer` sends, from nothing and from transactions of its
 * own; `worker` writes a row and publishes an event for each command, in one transaction; `watcher` hears the events. All write down what they saw.
 *
 * @example
 * await storeKillWorker({ transportAt, storeAt: (file) => sqlite({ file, takeOverAfterMs: 3_000 }), write });
 */
export async function storeKillWorker<Client>(
  { transportAt, storeAt, write }: StoreKillWorker<Client>,
  args: readonly string[] = process.argv.slice(2),
): Promise<void> {
  const [role = "", directory = "", place = "", ledgers = "", mistake = "", number = "0"] = args;
  using ledger = openLedger(ledgers, `${role}-${number}`);
  const ground = planted<Client>(
    { transport: settlingLate(transportAt(directory)), store: storeAt(place) },
    mistake === "" ? undefined : (mistake as PlantedMistake),
  );
  // Awaited: the ledger is closed when this returns.
  await parts[role]?.({ ...ground, write, ledger, number, ending: terminated() });
}

interface Part<Client> extends Ground<Client>, Pick<StoreKillWorker<Client>, "write"> {
  readonly ledger: Ledger;
  readonly number: string;
  readonly ending: Promise<unknown>;
}

const parts: Readonly<Record<string, <Client>(part: Part<Client>) => Promise<void>>> = {
  producer: produce,
  worker: work,
  watcher: watch,
};

async function produce<Client>(part: Part<Client>): Promise<void> {
  const { transport, store, write, ledger, number, ending } = part;
  const producing = service("producing", { sends: [DoTask], store });
  await using bus = await connect({ transport, logger, services: [producing] });
  process.send?.("ready");
  const stop = new AbortController();
  void ending.then(() => stop.abort());
  const lane = async (_: unknown, index: number): Promise<void> => {
    for (let next = 0; !stop.signal.aborted; next++) {
      const id = `${index % 2 === 0 ? "plain" : routeRun}-${number}-${index}-${next}`;
      if (index % 2 === 0) await bus.send(DoTask, { id });
      else
        await bus.transaction(store, async ({ client, send }) => {
          await write(client, `${id}/${routeRun}`);
          await send(DoTask, { id });
        });
      ledger.accepted(id);
      await reallyWait(paceMs);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

async function work<Client>(part: Part<Client>): Promise<void> {
  const { transport, store, write, number, ending } = part;
  let runs = 0;
  const working = service("working", { publishes: [TaskDone], store }).handle(
    DoTask,
    async ({ id }, { transaction, publish, attempt, sleep }) => {
      const run = `${number}-${++runs}`;
      await write(transaction, `${id}/${run}`);
      await publish(TaskDone, { id, run });
      await meetTrouble(id, attempt, sleep);
    },
    { lockMs, retry: { attempts: 100, delayMs: 20, factor: 1 } },
  );
  await using _ = await connect({ transport, logger, services: [working] });
  process.send?.("ready");
  await ending;
}

async function watch<Client>({ transport, ledger, ending }: Part<Client>): Promise<void> {
  const heard = ({ id, run }: Outcome): void => ledger.handled(`${id}/${run}`);
  const watching = service("watching").on(TaskDone, heard, { lockMs });
  await using _ = await connect({ transport, logger, services: [watching] });
  process.send?.("ready");
  await ending;
}

/** Some take a moment, so that a kill meets them; some fail once they have written and published, so that it must all be taken back. */
async function meetTrouble(id: string, attempt: number, sleep: Context["sleep"]): Promise<void> {
  if (id.endsWith("7")) await sleep(slowMs);
  if (id.endsWith("3") && attempt === 1) throw new Error("the first run fails");
}
