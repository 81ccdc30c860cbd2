/** `node large.fixture.ts URL`: captures what is large to a broker that only counts, and that is away until it is told. */
import { type Outgoing, connect, memory } from "@waybill/core";
import { capture, captured } from "./index.ts";
import { Changes, Gate } from "./subject.fixture.ts";
import { reallyWait } from "./waiting.fixture.ts";

export interface LargeReport {
  readonly count: number;
  readonly unordered: number;
  readonly ids: number;
  readonly heapMiB: number;
  readonly rssMiB: number;
}

if (import.meta.main) {
  const [url = ""] = process.argv.slice(2);
  const wanted = 100_000;
  const all = Promise.withResolvers<void>();
  let count = 0;
  let unordered = 0;
  let last = 0;
  // Ids of the rows of one transaction differ in their last digits; a set of all would be larger than what is measured.
  let ids = 0;
  let lastId = "";
  let heap = 0;
  const take = (batch: readonly Outgoing[]): void => {
    for (const { envelope } of batch) {
      const { n } = JSON.parse(String(envelope.body)) as { n: number };
      if (n !== last + 1) unordered += 1;
      last = n;
      count += 1;
      if (envelope.header.id !== lastId) ids += 1;
      lastId = envelope.header.id;
    }
    if (count >= wanted) all.resolve();
    heap = Math.max(heap, process.memoryUsage().heapUsed);
  };
  const inner = memory();
  const gate = new Gate({
    name: "counting",
    open: async (host) => {
      const opened = await inner.open(host);
      const send = async (batch: readonly Outgoing[]): Promise<void> => {
        await reallyWait(1);
        take(batch);
      };
      return new Proxy(opened, {
        get: (target, name) => {
          if (name === "send") return send;
          const value: unknown = Reflect.get(target, name, target);
          return typeof value === "function" ? (value.bind(target) as unknown) : value;
        },
      });
    },
  });
  gate.isOpen = false;
  const huge = captured("huge", {
    columns: { n: "number", text: "text" },
    stream: Changes,
    map: (change) =>
      change.kind === "insert"
        ? { kind: change.kind, n: change.row.n, text: change.row.text }
        : undefined,
  });
  const made = capture("huge", { url, snapshot: "never", tables: [huge] });
  const bus = await connect({ transport: gate.transport, services: [made] });
  const state = async (): Promise<string | undefined> => (await bus.health()).captures[0]?.state;
  while ((await state()) !== "capturing") await reallyWait(20);
  const opened = new Promise<void>((resolve) => {
    process.once("message", () => resolve());
  });
  process.send?.("capturing");
  await opened;
  while (gate.refused === 0) await reallyWait(20);
  // The server has far more to send than is taken meanwhile.
  await reallyWait(2_000);
  heap = Math.max(heap, process.memoryUsage().heapUsed);
  gate.isOpen = true;
  await all.promise;
  await bus.close();
  const mib = (bytes: number): number => Math.round(bytes / 1024 ** 2);
  const report: LargeReport = {
    count,
    unordered,
    ids,
    heapMiB: mib(heap),
    rssMiB: mib(process.memoryUsage().rss),
  };
  process.send?.(report);
  process.disconnect();
}
