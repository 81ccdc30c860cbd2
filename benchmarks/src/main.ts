/** `npm run bench`: measures Waybill beside its twins and says which bars are met. Ends with 1 only when something could not be measured. */
import type { Benchmark, Row } from "./benchmark.ts";
import { stopSignals } from "./actors/actor.ts";
import { backlog } from "./embedded/backlog.ts";
import { crowd } from "./embedded/crowd.ts";
import { idle } from "./embedded/idle.ts";
import { latency } from "./embedded/latency.ts";
import { wide } from "./embedded/wide.ts";
import { importing } from "./import.ts";
import { describeMachine } from "./machine.ts";
import { inMemory } from "./memory/benchmark.ts";
import { readOptions, usage } from "./options.ts";
import { outbox } from "./outbox/benchmark.ts";
import { aligned, readBaseline, type Report, tableOf, writeReport } from "./report.ts";
import { throughput } from "./throughput.ts";
import { kafkaTransport, natsTransport, rabbitmqTransport } from "./transports/benchmark.ts";
import { readVersions } from "./versions.ts";

const benchmarks: readonly Benchmark[] = [
  inMemory,
  throughput,
  rabbitmqTransport,
  natsTransport,
  kafkaTransport,
  latency,
  backlog,
  crowd,
  wide,
  idle,
  outbox,
  importing,
];

/** One for each process that runs at the same time. */
const listenersMax = 64;

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  const names = benchmarks.map(({ name }) => name);
  let options;
  try {
    options = readOptions(args, names);
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usage}`);
    return 2;
  }
  if (options.help) {
    console.log(`${usage}\n\nBenchmarks: ${names.join(", ")}`);
    return 0;
  }
  let stopped = false;
  process.setMaxListeners(listenersMax);
  for (const signal of stopSignals) process.on(signal, () => (stopped = true));
  const machine = describeMachine();
  const rows: Row[] = [];
  let failures = 0;
  for (const benchmark of benchmarks) {
    if (stopped || (options.only.length > 0 && !options.only.includes(benchmark.name))) continue;
    try {
      rows.push(...(await benchmark.run({ ...options, say: (text) => console.error(text) })));
    } catch (error) {
      failures += 1;
      console.error(error);
      rows.push({
        name: benchmark.name,
        value: undefined,
        unit: "",
        note: `failed: ${(error as Error).message.split("\n")[0]}`,
      });
    }
  }
  if (stopped) return 1;
  const { runs, quick, baseline } = options;
  const report: Report = {
    date: new Date().toISOString(),
    machine,
    versions: await readVersions(),
    runs,
    quick,
    rows,
  };
  const before = readBaseline();
  console.log(`\n${aligned(tableOf(rows, before))}\n`);
  const complete = options.only.length === 0 && failures === 0;
  console.log(
    `${machine.cpu}, ${machine.cores} cores, ${machine.fileSystem}, Node ${machine.node}, load before ${machine.loadBefore.toFixed(2)}. Written to ${writeReport(report, { baseline, complete, before })}`,
  );
  return failures === 0 ? 0 : 1;
}
