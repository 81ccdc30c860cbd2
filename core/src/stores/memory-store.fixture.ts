import type { Environment } from "../ports/environment.ts";
import type { OutboxRow, StoreFactory, StoreHost } from "../ports/store.ts";
import type { Destination, Outgoing } from "../ports/transport.ts";

/** What was asked of the outbox: how many rows it gave, and of which kinds. */
export interface OutboxRead {
  readonly kinds: readonly Destination["kind"][] | undefined;
  readonly count: number;
}

/** A store of one process, in memory, whose transactions commit in the order in which they end. */
export interface MemoryStore extends StoreFactory {
  /** What waits to be sent. */
  readonly waiting: readonly OutboxRow[];
  readonly reads: readonly OutboxRead[];
  /** Stores rows of which nobody is told: as one that died would leave them. */
  leave(batch: readonly Outgoing[]): void;
}

interface Stored extends OutboxRow {
  readonly storedAt: number;
}

export function memoryStore(environment: Environment): MemoryStore {
  const rows = new Map<number, Stored>();
  const reads: OutboxRead[] = [];
  let last = 0;
  const insert = (batch: readonly Outgoing[]): readonly OutboxRow[] =>
    batch.map((outgoing) => {
      last += 1;
      const row = { key: last, outgoing, storedAt: environment.clock.now() };
      rows.set(row.key, row);
      return row;
    });
  return {
    name: "memory store",
    migrations: [],
    alarmAfterMs: { degraded: 30_000, failed: 600_000 },
    takeOverAfterMs: 10_000,
    reads,
    get waiting() {
      return [...rows.values()];
    },
    leave: (batch) => void insert(batch),
    open: async (host) => ({
      name: "memory store",
      outbox: {
        own: async (limit, kinds) => {
          const found: OutboxRow[] = [];
          for (const row of rows.values()) {
            if (kinds?.includes(row.outgoing.to.kind) === false) continue;
            if (found.push(row) === limit) break;
          }
          reads.push({ kinds, count: found.length });
          return found;
        },
        streams: unused,
        sent: async (batch) => {
          for (const { key } of batch) rows.delete(key);
        },
        setAside: unused,
        renew: async () => ({ taken: false, lost: false, more: false }),
        state: async () => {
          const [oldest] = rows.values();
          const now = environment.clock.now();
          const oldestMs = oldest === undefined ? 0 : now - oldest.storedAt;
          return { waiting: rows.size, oldestMs, aside: 0 };
        },
        aside: async () => [],
        retry: unused,
        discard: unused,
      },
      sagas: { find: unused, list: unused, forget: unused },
      views: {
        find: unused,
        list: unused,
        declare: unused,
        state: unused,
        isApplied: unused,
        begin: unused,
        finish: unused,
        abandon: unused,
      },
      schedules: {
        find: async () => undefined,
        list: async () => [],
        nextDue: async () => undefined,
      },
      events: { load: unused, read: unused, replay: unused },
      transaction: (work) => transaction(host, insert, work),
      [Symbol.asyncDispose]: async () => undefined,
    }),
  };
}

type Transaction = Awaited<ReturnType<StoreFactory["open"]>>["transaction"];

async function transaction<Result>(
  host: StoreHost,
  insert: (batch: readonly Outgoing[]) => readonly OutboxRow[],
  work: Parameters<Transaction>[0],
): Promise<Result> {
  const said: Outgoing[] = [];
  const result = await work({
    client: undefined,
    sagas: { load: unused, insert: unused, update: unused },
    views: {
      find: unused,
      list: unused,
      claim: unused,
      load: unused,
      save: unused,
      advance: unused,
    },
    schedules: { load: unused, due: unused, insert: unused, update: unused, remove: unused },
    events: {
      load: unused,
      read: unused,
      last: unused,
      append: unused,
      keep: unused,
      forget: unused,
    },
    claim: () => true,
    append: (batch) => void said.push(...batch),
  });
  if (said.length > 0) host.committed(insert(said));
  return result as Result;
}

function unused(): Promise<never> {
  return Promise.reject(new Error("The memory store of tests does not do this."));
}
