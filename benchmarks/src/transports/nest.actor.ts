// oxlint-disable-next-line import/no-unassigned-import -- NestJS asks for it: it extends Reflect.
import "reflect-metadata";
import { Controller, Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import {
  ClientProxyFactory,
  Ctx,
  EventPattern,
  Payload,
  RmqContext,
  type RmqOptions,
  Transport,
} from "@nestjs/microservices";
import { lastValueFrom } from "rxjs";
import { Checklist } from "../actors/checklist.ts";
import { inLanes, monotonicMs, type Part, perform } from "../actors/stage.ts";
import { type Order, order } from "../workload.ts";
import type { Phase, PhaseSettings } from "./phase.ts";

const pattern = "place-order";
const settledMs = 1;

await perform((settings: PhaseSettings) =>
  settings.role === "producer" ? produce(settings) : Promise.resolve(consume(settings)),
);

function optionsOf({ role, url, prefix, prefetch }: PhaseSettings): RmqOptions {
  return {
    transport: Transport.RMQ,
    options: {
      urls: [url],
      queue: `${prefix}.nest`,
      // What Waybill does without being asked: durable, confirmed, acknowledged after the handler.
      queueOptions: { durable: true, arguments: { "x-queue-type": "quorum" } },
      persistent: true,
      // Its client may not acknowledge what comes to its reply queue, which is never used here.
      noAck: role === "producer",
      prefetchCount: prefetch,
    },
  };
}

async function produce(settings: PhaseSettings): Promise<Part> {
  const { batch, lanes } = settings;
  const client = ClientProxyFactory.create(optionsOf(settings));
  await client.connect();
  let base = 0;
  const emit = (number: number): Promise<unknown> =>
    lastValueFrom(client.emit(pattern, order(number)), { defaultValue: undefined });
  const send = async (from: number, size: number): Promise<void> => {
    await Promise.all(Array.from({ length: size }, (_, index) => emit(from + index)));
  };
  return {
    round: async (count): Promise<Phase> => {
      const beganAt = monotonicMs();
      await inLanes(lanes, Math.ceil(count / batch), (index) =>
        send(base + index * batch, Math.min(batch, count - index * batch)),
      );
      base += count;
      return { beganAt, endedAt: monotonicMs(), duplicates: 0 };
    },
    close: async () => void (await client.close()),
  };
}

function consume(settings: PhaseSettings): Part {
  const checklist = new Checklist();
  let beganAt: number | undefined;
  const application = applicationOf(({ number }) => {
    beganAt ??= monotonicMs();
    checklist.tick(number);
  });
  return {
    round: async (count): Promise<Phase> => {
      beganAt = undefined;
      const complete = checklist.expect(count);
      const app = await NestFactory.createMicroservice(application, {
        ...optionsOf(settings),
        logger: ["error"],
      });
      await app.listen();
      await complete;
      // It has no way to ask whether the acknowledgements have arrived; the last one leaves within a turn of the loop.
      await new Promise((resolve) => setTimeout(resolve, settledMs));
      const endedAt = monotonicMs();
      await app.close();
      return { beganAt: beganAt ?? endedAt, endedAt, duplicates: checklist.duplicates };
    },
    close: () => Promise.resolve(),
  };
}

/** What a user of NestJS writes with decorators, which are no syntax that can be stripped. */
function applicationOf(handle: (order: Order) => void): new () => object {
  class Orders {
    handle(data: Order, context: RmqContext): void {
      handle(data);
      (context.getChannelRef() as { ack(message: unknown): void }).ack(context.getMessage());
    }
  }
  const orders = Orders.prototype;
  Payload()(orders, "handle", 0);
  Ctx()(orders, "handle", 1);
  Reflect.defineMetadata("design:paramtypes", [Object, RmqContext], orders, "handle");
  const descriptor = Object.getOwnPropertyDescriptor(orders, "handle") as PropertyDescriptor;
  EventPattern(pattern)(orders, "handle", descriptor);
  Controller()(Orders);
  // oxlint-disable-next-line typescript/no-extraneous-class -- a module of NestJS is a class, and all it says stands in its decorator.
  class Application {}
  Module({ controllers: [Orders] })(Application);
  return Application;
}
