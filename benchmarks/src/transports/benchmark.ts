import { randomUUID } from "node:crypto";
import { Actor } from "../actors/actor.ts";
import type { Benchmark, Effort, Row } from "../benchmark.ts";
import { median } from "../statistics.ts";
import type { Phase, PhaseSettings } from "./phase.ts";
import { type Server, serverOfKafka, serverOfNats, serverOfRabbitmq } from "./servers.ts";

interface Figures {
  readonly sent: number;
  readonly handled: number;
  readonly cpuSeconds: number;
}

interface System {
  readonly name: string;
  readonly file: URL;
  readonly settings?: Pick<PhaseSettings, "confirmed">;
  /** What Waybill has to reach of it; undefined for Waybill, and for a twin that is told beside another. */
  readonly bar?: number;
}

const waybill: System = {
  name: "waybill",
  file: new URL("waybill.actor.ts", import.meta.url),
};

const jetstream = new URL("jetstream.actor.ts", import.meta.url);

/** The same messages, batches and prefetch through the whole of Waybill and through the client library alone. */
export const rabbitmqTransport: Benchmark = transportBenchmark("rabbitmq-transport", {
  server: serverOfRabbitmq,
  twins: [
    { name: "amqplib", file: new URL("amqplib.actor.ts", import.meta.url), bar: 0.85 },
    { name: "NestJS RMQ", file: new URL("nest.actor.ts", import.meta.url), bar: 1.5 },
  ],
});

export const natsTransport: Benchmark = transportBenchmark("nats-transport", {
  server: serverOfNats,
  twins: [
    {
      name: "@nats-io/jetstream, acknowledgements confirmed",
      file: jetstream,
      settings: { confirmed: true },
      bar: 0.85,
    },
    { name: "@nats-io/jetstream, acknowledgements unconfirmed", file: jetstream },
  ],
});

export const kafkaTransport: Benchmark = transportBenchmark("kafka-transport", {
  server: serverOfKafka,
  twins: [
    { name: "@platformatic/kafka", file: new URL("kafka.actor.ts", import.meta.url), bar: 0.8 },
  ],
});

function transportBenchmark(
  name: string,
  { server, twins }: { readonly server: Server; readonly twins: readonly System[] },
): Benchmark {
  return {
    name,
    run: async (effort) => {
      if ((await server.version()) === undefined)
        return [{ name, value: undefined, unit: "msg/s", note: "not running here" }];
      const results = await inTurns(server, [waybill, ...twins], effort);
      const ours = results.get(waybill) ?? [];
      return [
        ...rowsOf(`${name}: waybill`, ours),
        ...twins.flatMap((twin) => {
          const theirs = results.get(twin) ?? [];
          return [
            ...rowsOf(`${name}: ${twin.name}`, theirs),
            ratioOf(`${name}: publish and confirm, waybill ÷ ${twin.name}`, {
              ours,
              theirs,
              twin,
              of: "sent",
            }),
            ratioOf(`${name}: consume and acknowledge, waybill ÷ ${twin.name}`, {
              ours,
              theirs,
              twin,
              of: "handled",
            }),
          ];
        }),
      ];
    },
  };
}

function rowsOf(name: string, figures: readonly Figures[]): readonly Row[] {
  const cpu = median(figures.map(({ cpuSeconds }) => cpuSeconds));
  return [
    {
      name: `${name}, publish and confirm`,
      value: median(figures.map(({ sent }) => sent)),
      unit: "msg/s",
    },
    {
      name: `${name}, consume and acknowledge`,
      value: median(figures.map(({ handled }) => handled)),
      unit: "msg/s",
      note: `CPU ${cpu.toFixed(1)} s for both`,
    },
  ];
}

function ratioOf(
  name: string,
  {
    ours,
    theirs,
    twin,
    of,
  }: {
    readonly ours: readonly Figures[];
    readonly theirs: readonly Figures[];
    readonly twin: System;
    readonly of: "sent" | "handled";
  },
): Row {
  const value = median(ours.map((each, run) => each[of] / (theirs[run]?.[of] ?? Number.NaN)));
  const row = { name, value, unit: "×" };
  return twin.bar === undefined ? row : { ...row, bar: { atLeast: twin.bar } };
}

/** First everything is sent, then everything is consumed; one system after the other, so that a change of the machine's load meets all. */
async function inTurns(
  server: Server,
  systems: readonly System[],
  { runs, quick, profile, say }: Effort,
): Promise<Map<System, Figures[]>> {
  const count = quick ? 20_000 : 100_000;
  await using cleaning = new AsyncDisposableStack();
  const prefix = `bench-${randomUUID().slice(0, 8)}`;
  cleaning.defer(() => server.clean(prefix));
  await server.prepare?.(prefix);
  const settings = { url: server.url, prefix, batch: 100, lanes: 10, prefetch: 1_000 };
  const crews: { system: System; producer: Actor<Phase>; consumer: Actor<Phase> }[] = [];
  for (const system of systems) {
    const options = system === waybill ? { profile } : {};
    const start = async (role: PhaseSettings["role"]): Promise<Actor<Phase>> =>
      cleaning.use(
        await Actor.start<Phase>(system.file, { ...settings, ...system.settings, role }, options),
      );
    crews.push({ system, producer: await start("producer"), consumer: await start("consumer") });
  }
  const results = new Map<System, Figures[]>(systems.map((system) => [system, []]));
  for (let run = 0; run <= runs; run++)
    for (const { system, producer, consumer } of crews) {
      // The first one warms the compiler.
      const size = run === 0 ? count / 5 : count;
      const sent = await phase(producer, size);
      const handled = await phase(consumer, size);
      if (run === 0) continue;
      const figures = {
        sent: sent.rate,
        handled: handled.rate,
        cpuSeconds: sent.cpuSeconds + handled.cpuSeconds,
      };
      results.get(system)?.push(figures);
      say(
        `${system.name}, run ${run}: sent ${Math.round(sent.rate)}/s, handled ${Math.round(handled.rate)}/s${handled.duplicates > 0 ? `, ${handled.duplicates} twice` : ""}`,
      );
    }
  return results;
}

async function phase(
  actor: Actor<Phase>,
  count: number,
): Promise<{ rate: number; cpuSeconds: number; duplicates: number }> {
  await actor.begin(count);
  const { result, cpuSeconds } = await actor.result();
  const { beganAt, endedAt, duplicates } = result;
  return { rate: (count / (endedAt - beganAt)) * 1_000, cpuSeconds, duplicates };
}
