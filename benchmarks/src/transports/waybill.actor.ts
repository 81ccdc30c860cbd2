import { setTimeout as sleep } from "node:timers/promises";
import { kafka } from "@waybill/kafka";
import { nats } from "@waybill/nats";
import { rabbitmq } from "@waybill/rabbitmq";
import { type TransportFactory, connect, service } from "waybill";
import { Checklist } from "../actors/checklist.ts";
import { inLanes, monotonicMs, perform } from "../actors/stage.ts";
import { PlaceOrder, order, shop } from "../workload.ts";
import type { Phase, PhaseSettings } from "./phase.ts";

const settledPollMs = 2;

await perform(async (settings: PhaseSettings) => {
  const transport = transportOf(settings);
  if (settings.role === "producer") {
    const bus = await connect({ transport, services: [shop] });
    let base = 0;
    const sendBatch = async (from: number, size: number): Promise<void> => {
      await Promise.all(
        Array.from({ length: size }, (_, index) => bus.send(PlaceOrder, order(from + index))),
      );
    };
    return {
      round: async (count): Promise<Phase> => {
        const { batch, lanes } = settings;
        const beganAt = monotonicMs();
        await inLanes(lanes, Math.ceil(count / batch), (index) =>
          sendBatch(base + index * batch, Math.min(batch, count - index * batch)),
        );
        base += count;
        return { beganAt, endedAt: monotonicMs(), duplicates: 0 };
      },
      close: () => bus.close(),
    };
  }
  const checklist = new Checklist();
  const { prefetch } = settings;
  let beganAt: number | undefined;
  const consumer = service("bench-consumer").handle(
    PlaceOrder,
    ({ number }) => {
      beganAt ??= monotonicMs();
      checklist.tick(number);
    },
    { concurrency: prefetch, prefetch },
  );
  return {
    round: async (count): Promise<Phase> => {
      beganAt = undefined;
      const complete = checklist.expect(count);
      const bus = await connect({ transport, services: [consumer] });
      await complete;
      while (((await bus.health()).contracts[PlaceOrder.name]?.handled ?? 0) < count)
        await sleep(settledPollMs);
      const endedAt = monotonicMs();
      await bus.close();
      return { beganAt: beganAt ?? endedAt, endedAt, duplicates: checklist.duplicates };
    },
    close: () => Promise.resolve(),
  };
});

function transportOf({ url, prefix }: PhaseSettings): TransportFactory {
  if (url.startsWith("amqp")) return rabbitmq({ url, prefix: `${prefix}.` });
  return url.startsWith("kafka") ? kafka({ url, prefix }) : nats({ url, prefix });
}
